import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { type TestContext, test } from 'node:test';
import { namesFrom, rename } from '../src/names.ts';
import { placesFor } from '../src/places.ts';
import { carryOut, planService } from '../src/plan.ts';

const root = join(import.meta.dirname, '../../..');
const main = 'packages/new-service/src/main.ts';
// Names that nobody gives to a service of theirs, which would be in the way.
const trinkets = namesFrom('trinkets');

/** What the generator reads of the repository, in a folder of its own. */
function copyRoot(t: TestContext): string {
  const copy = mkdtempSync(join(tmpdir(), 'new-service-'));
  t.after(() => rmSync(copy, { recursive: true }));
  const read = [
    'apps/gateway/src/**/*.ts',
    'packages/new-service/{src,templates}/**/*.*',
    'packages/*/package.json',
  ];
  const files = [...placesFor(1).map(({ file }) => file), ...globSync(read, { cwd: root })];
  for (const file of files) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    writeFileSync(join(copy, file), readFileSync(join(root, file)));
  }
  mkdirSync(join(copy, 'infra/secrets/demo'), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

function everything(folder: string): Record<string, string> {
  const files = globSync(['*.yml', '{apps,packages,infra,e2e}/**/*'], { cwd: folder, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
  return Object.fromEntries(files.map((file) => [file, readFileSync(join(folder, file), 'utf8')]));
}

function command(folder: string, ...parameters: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, main), ...parameters], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

test('the singular is guessed by rule, and given where no rule has it', () => {
  const singulars = ['payments', 'policies', 'addresses', 'boxes', 'branches', 'houses'];
  assert.deepEqual(
    singulars.map((plural) => namesFrom(plural).singular),
    ['payment', 'policy', 'address', 'box', 'branch', 'house'],
  );
  assert.equal(namesFrom('people', 'person').singular, 'person');
  assert.throws(() => namesFrom('people'), /what is one of "people"\?/);
});

test('a text about sticky notes is one about the service, in every way that a name is written', () => {
  const text =
    'STICKY_NOTES_URL @gatehouse/sticky-notes Sticky notes of a sticky note sticky_notes stickyNotes stickyNoteRoutes ' +
    'createStickyNoteStore StickyNoteSchema another';
  const ofOneWord =
    'POLICIES_URL @gatehouse/policies Policies of a policy policies policies policyRoutes ' +
    'createPolicyStore PolicySchema another';
  const ofThree =
    'TRADE_IN_OFFERS_URL @gatehouse/trade-in-offers Trade in offers of a trade in offer trade_in_offers tradeInOffers ' +
    'tradeInOfferRoutes createTradeInOfferStore TradeInOfferSchema another';
  assert.equal(rename(text, namesFrom('policies')), ofOneWord);
  assert.equal(rename(text, namesFrom('trade-in-offers')), ofThree);
});

test('a name that cannot be used is refused in one line with exit code 2, and nothing is written', (t) => {
  const copy = copyRoot(t);
  const before = everything(copy);
  const refused: [name: string, why: RegExp][] = [
    ['Payments', /letters a to z/],
    ['pay--ments', /letters a to z/],
    ['payments-', /letters a to z/],
    ['pay_ments', /letters a to z/],
    ['../payments', /letters a to z/],
    ['as', /letters a to z/],
    ['news', /"new" is a word of TypeScript/],
    ['gateway', /what is one of/],
    ['upstreams', /taken already, in apps\/gateway\/src\/upstreams\.ts/],
    ['users', /"users" is taken already/],
    ['docs', /"docs" is taken already, in apps\/gateway/],
    ['accounts', /"accounts" is taken already, in apps\/all-in-one/],
    ['tests', /"test" is taken already, in packages\/new-service\/templates/],
  ];
  for (const [name, why] of refused) {
    const { status, stdout, stderr } = command(copy, name);
    assert.deepEqual([status, stdout], [2, ''], name);
    assert.match(stderr, /^new-service: [^\n]+\n$/);
    assert.match(stderr, why);
  }
  assert.equal(command(copy).status, 2);
  assert.equal(command(copy, 'payments', 'refunds').status, 2);
  assert.equal(command(copy, 'payments', '--dry').status, 2);
  assert.deepEqual(everything(copy), before);
});

test('notes are as good as any other name', () => {
  assert.ok(planService(root, namesFrom('notes')).created.has('apps/notes/src/app.ts'));
});

test('a dry run prints what a run prints, and changes nothing', (t) => {
  const copy = copyRoot(t);
  const before = everything(copy);
  const dry = command(copy, 'trinkets', '--dry-run');
  assert.equal(dry.status, 0, dry.stderr);
  assert.deepEqual(everything(copy), before);
  const real = command(copy, 'trinkets');
  assert.equal(dry.stdout, `${real.stdout}--dry-run: nothing was written\n`);
  assert.notDeepEqual(everything(copy), before);
});

test('a second service finds its places beside the first, and a service is not made twice', (t) => {
  const copy = copyRoot(t);
  assert.equal(command(copy, 'trinkets').status, 0);
  assert.equal(command(copy, 'ferry-rides').status, 0);
  const config = readFileSync(join(copy, 'apps/all-in-one/src/config.ts'), 'utf8');
  const ports =
    /^ {2}TRINKETS_PORT: PortSchema\.default\((\d+)\),\n {2}FERRY_RIDES_PORT: PortSchema\.default\((\d+)\),\n\}/m;
  const [, first, second] = ports.exec(config) ?? [];
  assert.ok(first, config);
  assert.equal(Number(second), Number(first) + 1);
  const before = everything(copy);
  const { status, stderr } = command(copy, 'trinkets');
  assert.deepEqual([status, stderr], [2, 'new-service: trinkets exists: apps/trinkets\n']);
  assert.deepEqual(everything(copy), before);
});

test('whichever place is not as expected, its file is named with what was looked for, and nothing is planned', (t) => {
  const copy = copyRoot(t);
  for (const { file } of placesFor(1)) {
    const path = join(copy, file);
    const text = readFileSync(path);
    writeFileSync(path, '{}\n');
    assert.throws(
      () => planService(copy, trinkets),
      ({ message }: Error) =>
        message.startsWith(`${file} is not as expected, there is `) && /: \S[^\n]*$/.test(message),
    );
    writeFileSync(path, text);
  }
  assert.ok(planService(copy, trinkets).changed.size > 0);
});

test('a service is made where others than users, items and orders are', (t) => {
  const copy = copyRoot(t);
  for (const { file } of placesFor(1)) {
    const path = join(copy, file);
    const text = readFileSync(path, 'utf8');
    const others = { users: 'people', items: 'goods', orders: 'sales' };
    const renamed = Object.entries(others).reduce(
      (all, [name, other]) => all.replaceAll(new RegExp(name, 'gi'), other),
      text,
    );
    writeFileSync(path, renamed);
  }
  assert.ok(planService(copy, trinkets).changed.size > 0);
});

test('what every service needs to be told is told a new one too, in each file that runs containers', () => {
  const { changed } = planService(root, trinkets);
  for (const file of globSync(['docker-compose.yml', 'infra/*/docker-compose.yml'], { cwd: root })) {
    if (!/^ {2}items:/m.test(readFileSync(join(root, file), 'utf8'))) continue;
    assert.match(changed.get(file)?.text ?? '', /^ {2}trinkets:/m, file);
  }
});

test('what cannot be written to the end is taken back', (t) => {
  const copy = copyRoot(t);
  const plan = planService(copy, trinkets);
  const before = everything(copy);
  const changed = new Map([...plan.changed, ['apps/none/at-all.ts', { text: '', changes: [] }]]);
  assert.throws(() => carryOut(copy, { ...plan, changed }), /ENOENT/);
  assert.deepEqual(everything(copy), before);
});

test('a secret that is there already is neither written over nor taken back', (t) => {
  const copy = copyRoot(t);
  const plan = planService(copy, trinkets);
  writeFileSync(join(copy, 'infra/secrets/demo/trinkets-database-url'), 'mine');
  const before = everything(copy);
  assert.throws(() => carryOut(copy, plan), /EEXIST/);
  assert.deepEqual(everything(copy), before);
  const { status, stderr } = command(copy, 'trinkets');
  assert.deepEqual([status, stderr], [2, 'new-service: infra/secrets/demo/trinkets-database-url exists\n']);
});

test('docs/adding-a-service.md shows the templates and the lines that the generator writes', () => {
  const page = readFileSync(join(root, 'docs/adding-a-service.md'), 'utf8');
  const shown = [...page.matchAll(/^```(?:json|ts|yaml)\n(.*?)^```$/gms)].map(([, block]) => block);
  for (const file of globSync(['package.json', 'drizzle.config.ts', '{src,test}/**/*.ts'], {
    cwd: join(root, 'packages/new-service/templates'),
  })) {
    const template = readFileSync(join(root, 'packages/new-service/templates', file), 'utf8');
    assert.ok(shown.includes(template), `the page does not show ${file} as it is`);
  }
  const words = (text: string) => text.replaceAll(/\s+/g, ' ').trim();
  for (const { file, additions } of placesFor(8085)) {
    assert.ok(page.includes(file), `the page does not name ${file}`);
    for (const { added } of additions) {
      assert.ok(words(page).includes(words(added)), `the page does not say for ${file}: ${added}`);
    }
  }
});
