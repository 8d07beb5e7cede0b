import { html, nothing, type TemplateResult } from 'lit-html';
import { changed } from '../changes.ts';
import type { Experiment, Outcome } from '../lab/experiment.ts';
import { experiments } from '../lab/experiments.ts';

type State = 'running' | Outcome | { fault: string };

const states = new Map<string, State>();
let areAllRunning = false;

/** Ways to break a rule, each with a button, and what became of it. */
export function labView(): TemplateResult {
  const outcomes = [...states.values()].filter((state) => typeof state === 'object' && 'held' in state);
  const held = outcomes.filter(({ held }) => held).length;
  return html`
    <h1>The lab</h1>
    <p class="lead">
      Each experiment breaks one rule, with tokens of its own; a code redeemed twice also ends the sign-in here. It says what
      it sends, what must happen, what did happen, and which file decides it.
    </p>
    <p>
      <button type="button" class="primary" ?disabled=${areAllRunning} @click=${runAll}>Run all of them</button>
      <span role="status">${outcomes.length > 0 ? `${held} of ${outcomes.length} held.` : nothing}</span>
    </p>
    <ul class="experiments">${experiments.map(card)}</ul>
  `;
}

function card(experiment: Experiment): TemplateResult {
  const { id, title, sends, expects, decidedBy } = experiment;
  const state = states.get(id);
  const label = state === 'running' ? 'Running…' : 'Run';
  return html`
    <li class="experiment" id="experiment-${id}">
      <h2>${title}</h2>
      <dl>
        <dt>Sends</dt><dd>${sends}</dd>
        <dt>Must happen</dt><dd>${expects}</dd>
        <dt>Happened</dt><dd><div class="outcome" role="status">${outcomeOf(state)}</div></dd>
        <dt>Decided in</dt>
        <dd><a href="/explorer/source/${decidedBy}" target="_blank" rel="noopener"><code>${decidedBy}</code></a></dd>
      </dl>
      <button type="button" ?disabled=${state === 'running'} aria-label="${label}: ${title}" @click=${() => run(experiment)}>
        ${label}
      </button>
    </li>
  `;
}

function outcomeOf(state: State | undefined): TemplateResult {
  if (state === undefined) return html`Not tried yet.`;
  if (state === 'running') return html`…`;
  if ('fault' in state) return html`<span class="unclear">? ${state.fault}</span>`;
  return state.held
    ? html`<span class="held">✓ Held.</span> ${state.seen}`
    : html`<span class="broken">✗ Did not hold.</span> ${state.seen}`;
}

async function run(experiment: Experiment): Promise<void> {
  const show = (state: State) => {
    states.set(experiment.id, state);
    changed();
  };
  show('running');
  try {
    show(await experiment.run());
  } catch (error) {
    show({ fault: error instanceof Error ? error.message : String(error) });
  }
}

async function runAll(): Promise<void> {
  areAllRunning = true;
  const inOrder = experiments.toSorted((one, other) => Number(!one.opensWindow) - Number(!other.opensWindow));
  for (const experiment of inOrder) await run(experiment);
  areAllRunning = false;
  changed();
}
