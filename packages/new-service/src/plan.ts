import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { inCamelCase, type Names, Refusal, rename } from './names.ts';
import { placesFor } from './places.ts';

/** What there is to write, all of it known before any of it is done. */
export interface Plan {
  /** From the root, with the whole text of each. */
  created: ReadonlyMap<string, string>;
  changed: ReadonlyMap<string, { text: string; changes: readonly string[] }>;
}

const templates = join(import.meta.dirname, '../templates');
const servicePorts = 'apps/all-in-one/src/config.ts';

/**
 * What makes a service of these names in the repository at `root`.
 * @throws Refusal where a name is taken, or a file is not as it was when this was written
 */
export function planService(root: string, names: Names): Plan {
  const is = (text: string) => rename(text, names);
  refuseTaken(root, names);
  const files = globSync('**/*.*', { cwd: templates })
    .filter((file) => !file.includes('node_modules'))
    .sort();
  const created = new Map(
    files.map((file) => [
      `apps/${names.plural}/${is(file)}`,
      is(readFileSync(join(templates, file), 'utf8')),
    ]),
  );
  const secret = is('infra/secrets/demo/sticky-notes-database-url');
  created.set(secret, is('postgres://sticky-notes:demo-sticky-notes-database@postgres:5432/sticky-notes\n'));
  for (const file of created.keys()) if (existsSync(join(root, file))) throw new Refusal(`${file} exists`);
  const changed = new Map<string, { text: string; changes: string[] }>();
  for (const { file, additions } of placesFor(freePort(readText(root, servicePorts)))) {
    let text = readText(root, file);
    for (const { added, edit } of additions) {
      try {
        text = edit(is(added))(text);
      } catch (error) {
        throw new Refusal(
          `${file} is not as expected, there is not exactly one: ${(error as Error).message}`,
        );
      }
    }
    changed.set(file, { text, changes: additions.map(({ what }) => is(what)) });
  }
  return { created, changed };
}

/** Does all that is planned, or leaves everything as it was. */
export function carryOut(root: string, { created, changed }: Plan): void {
  const undo: (() => void)[] = [];
  try {
    for (const [file, text] of created) {
      const path = join(root, file);
      const made = mkdirSync(dirname(path), { recursive: true });
      if (made !== undefined) undo.push(() => rmSync(made, { recursive: true, force: true }));
      writeFileSync(path, text, { flag: 'wx' });
      undo.push(() => rmSync(path, { force: true }));
    }
    for (const [file, { text }] of changed) {
      const path = join(root, file);
      const old = readFileSync(path, 'utf8');
      undo.push(
        () => writeWhole(path, old),
        () => rmSync(`${path}.new`, { force: true }),
      );
      writeWhole(path, text);
    }
  } catch (error) {
    for (const step of undo.reverse()) step();
    throw error;
  }
}

function refuseTaken(root: string, { plural, singular }: Names): void {
  const folder = `apps/${plural}`;
  if (existsSync(join(root, folder))) throw new Refusal(`${plural} exists: ${folder}`);
  const packages = [...readdirSync(join(root, 'packages')), 'e2e', 'bench'];
  if (packages.includes(plural)) throw new Refusal(`@gatehouse/${plural} exists`);
  if (['health', 'metrics'].includes(plural)) throw new Refusal(`every service has a /${plural} already`);
  const gateway = filesIn(join(root, 'apps/gateway/src'));
  const joined = namedIn.map((file) => join(root, file));
  const variable = new RegExp(`\\b${rename('STICKY_NOTES', { plural, singular })}_(URL|PORT)\\b`);
  refuseFound(root, variable, plural, [...gateway, ...joined]);
  refuseFound(root, new RegExp(`['"\`]/${plural}['"\`/]`), plural, gateway);
  // Both become variables: the plural beside those of these files too.
  const own = filesIn(templates);
  refuseFound(root, asVariable(plural), plural, [...joined, ...own]);
  refuseFound(root, asVariable(singular), singular, own);
}

const namedIn = [
  'apps/gateway/src/upstreams.ts',
  'apps/all-in-one/src/services.ts',
  'apps/all-in-one/src/config.ts',
  'apps/all-in-one/src/start.ts',
];

// The templates are about sticky notes, which says nothing against notes.
const asVariable = (name: string) => new RegExp(`(?<![\\w-]|[Ss]ticky )${inCamelCase(name)}(?![\\w-])`);

const filesIn = (folder: string) => globSync('**/*.ts', { cwd: folder }).map((file) => join(folder, file));

function refuseFound(root: string, pattern: RegExp, word: string, files: readonly string[]): void {
  const file = files.find((path) => pattern.test(readFileSync(path, 'utf8')));
  if (file === undefined) return;
  throw new Refusal(`"${word}" is taken already, in ${relative(root, file)}: choose another name`);
}

function freePort(config: string): number {
  const ports = [...config.matchAll(/_PORT: PortSchema\.default\((\d+)\)/g)].map(([, port]) => Number(port));
  if (ports.length === 0)
    throw new Refusal(`${servicePorts} is not as expected, there is no: _PORT: PortSchema.default(`);
  return Math.max(...ports) + 1;
}

function readText(root: string, file: string): string {
  if (!existsSync(join(root, file))) throw new Refusal(`${file} is missing`);
  return readFileSync(join(root, file), 'utf8');
}

function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}
