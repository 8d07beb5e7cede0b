import { lastLines, type Ports, type StartedProcess } from '../system.ts';

/** The ports at which the runner expects a system that a test starts, as in BASE_URL and the others. */
export const ports: Ports = JSON.parse(process.env.PORTS ?? 'null');

/** What the system itself has written, without what npm says before and after. */
export function ownLines({ output }: StartedProcess): string[] {
  return lastLines(output())
    .split('\n')
    .filter((line) => line !== '' && !/^(>|npm )/.test(line));
}
