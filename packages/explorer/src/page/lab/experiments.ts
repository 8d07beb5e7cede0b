import { codeExperiments } from './code-experiments.ts';
import { endings } from './endings.ts';
import type { Experiment } from './experiment.ts';
import { forgeries } from './forgeries.ts';
import { others } from './others.ts';
import { requests } from './requests.ts';

/** Every way to break a rule that there is a button for. */
export const experiments: readonly Experiment[] = [
  ...requests,
  ...forgeries,
  ...endings,
  ...codeExperiments,
  ...others,
];
