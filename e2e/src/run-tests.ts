import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';

/**
 * Runs the test files that match through node:test, with these variables besides ours; whether all passed.
 * @param title only the tests whose title has this in it
 */
export async function runTests(
  pattern: string,
  variables: Record<string, string>,
  title?: string,
): Promise<boolean> {
  const files = globSync(pattern, { cwd: import.meta.dirname }).sort();
  if (files.length === 0) throw new Error(`no test file matches ${pattern}`);
  // One file at a time: lags are measured, and the faults share their ports.
  const options = [
    '--test',
    '--test-concurrency=1',
    '--test-reporter=spec',
    '--test-timeout=120000',
    '--test-force-exit',
    ...(title === undefined ? [] : [`--test-name-pattern=${title}`]),
  ];
  const child = spawn(process.execPath, [...options, ...files], {
    cwd: import.meta.dirname,
    env: { ...process.env, ...variables },
    stdio: 'inherit',
  });
  const [code] = await once(child, 'close');
  return code === 0;
}
