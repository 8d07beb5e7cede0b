import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { namesFrom, Refusal, rename } from './names.ts';
import { carryOut, planService } from './plan.ts';

const usage = 'npm run new-service -- NAME [--singular WORD] [--dry-run]';
const root = join(import.meta.dirname, '../../..');
// What is left, which takes installed packages and a formatter.
const next = `Next:

  npm install        # links @gatehouse/sticky-notes
  npm run access     # who may do what, for docs/access.md
  npm run fix        # formatting
  npm run check
  npm test -w @gatehouse/sticky-notes
  npm start

What it keeps has an owner and a text: change src/schema.ts, then npm run db:generate -w @gatehouse/sticky-notes. With compose the database
is made when the volume is new: docker compose down -v, which empties the others too. docs/adding-a-service.md explains each step.
`;

try {
  const { name, singular, dryRun } = readArguments();
  const names = namesFrom(name, singular);
  const plan = planService(root, names);
  if (!dryRun) carryOut(root, plan);
  const lines = [
    ...[...plan.created.keys()].map((file) => `created  ${file}`),
    ...[...plan.changed].flatMap(([file, { changes }]) => [
      `changed  ${file}`,
      ...changes.map((change) => `           ${change}`),
    ]),
    '',
    rename(next, names),
  ];
  process.stdout.write(`${lines.join('\n')}\n${dryRun ? '--dry-run: nothing was written\n' : ''}`);
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`new-service: ${error.message}\n`);
  process.exitCode = 2;
}

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { singular: { type: 'string' }, 'dry-run': { type: 'boolean', default: false } },
    });
    const [name] = positionals;
    if (name === undefined || positionals.length > 1) throw new Error('one name is needed');
    return { name, singular: values.singular, dryRun: values['dry-run'] };
  } catch (error) {
    throw new Refusal(`${(error as Error).message.split('\n')[0]}; ${usage}`);
  }
}
