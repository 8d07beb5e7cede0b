import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createBrowser } from '@gatehouse/test-kit';
import { walkPages } from '../sign-in.ts';
import { gateway } from '../target.ts';

/** Commands of a page, with the output that stands below them if there is any. */
interface Example {
  page: string;
  commands: string;
  expected: string | undefined;
}

/** What is done with commands that are followed by no output: they are the only ones of their page with `words` in them. */
type Rule = { words: string } & (
  | { shows: string[]; prepare?: (commands: string) => string | Promise<string> }
  | { notRunHere: string }
);

const root = fileURLToPath(new URL('../../../', import.meta.url));
const readme = readFileSync(`${root}README.md`, 'utf8');
const withNewService = 'new-service/run.ts does it with a service of another name';

const rules: Record<string, Rule[]> = {
  'README.md': [
    { words: 'npm ci && npm start', notRunHere: '.ci/run begins with the one, system.ts starts the other' },
    { words: 'docker compose up --build --wait\n', notRunHere: 'run-compose.ts does it' },
    { words: 'make-certificates.sh', notRunHere: 'run-tls.ts makes them, run-compose.ts checks the file' },
    { words: 'TLS_CERT_FILE=', notRunHere: 'run-tls.ts starts it so' },
    {
      words: 'username=johndoe',
      shows: [
        '"username":"johndoe"',
        '"name":"Foo"',
        '403 Forbidden',
        'scope="orders:read"',
        '401 Unauthorized',
      ],
    },
    { words: 'demo-reporting-secret', shows: ['"scope":"items:read"'] },
    {
      words: 'demo-web-secret',
      prepare: async (commands) => commands.replace('code=…', `code=${await codeOfTheLink()}`),
      shows: ['"id_token":"', '"scope":"openid profile orders:read"'],
    },
    // What the device shows is allowed in flows/device.md; here nobody has put its code in.
    { words: 'client_id=demo-cli', shows: ['"verification_uri_complete":"', '"error":"invalid_grant"'] },
    { words: 'npm run demo:secure', notRunHere: 'demo-secure.test.ts walks through it' },
    { words: '$BOB/disable', shows: ['204 No Content', '"account-disable"', '"account-enable"'] },
    {
      words: 'server-timing',
      shows: ['orders.scope;desc="orders:read ok"', 'items.scope;desc="items:read missing"'],
    },
    {
      words: 'bash .ci/run',
      notRunHere: 'it is what runs this, but for drills and benches, which take hours',
    },
  ],
  'docs/adding-a-service.md': [
    {
      words: 'npm run new-service -- payments',
      // A name that nobody gives to a service of theirs.
      prepare: (commands) => commands.replace('payments', 'tin-trinkets --dry-run'),
      shows: [
        'created  apps/tin-trinkets/src/app.ts',
        'changed  docker-compose.yml',
        '--dry-run: nothing was written',
      ],
    },
    { words: 'npm run db:generate', notRunHere: withNewService },
    { words: 'npm test -w', notRunHere: withNewService },
    { words: 'docker compose config', notRunHere: withNewService },
    { words: 'npm run access', notRunHere: withNewService },
    { words: 'curl', notRunHere: 'new-service/tin-trinkets.test.ts runs it for a service of that name' },
  ],
  'docs/operations.md': [
    {
      words: 'infra/haproxy',
      notRunHere:
        'run-compose.ts checks the file, whose image is not on every machine; rolling-restart.test.ts does it without',
    },
    { words: 'end-all-access.sql', notRunHere: 'end-all-access.test.ts of auth runs the file' },
  ],
  'docs/your-own-identity-provider.md': [
    { words: 'npm start -w', notRunHere: 'it needs such a provider; other-issuer.test.ts has a stand-in' },
  ],
  'docs/observability.md': [
    {
      words: 'docker compose',
      notRunHere: 'run-compose.ts checks the file; its images are not on every machine',
    },
    {
      words: 'OTEL_EXPORTER_OTLP_ENDPOINT',
      notRunHere: 'the tests of tracing export to a collector of their own',
    },
  ],
};

const pages = globSync(['README.md', 'docs/**/*.md'], { cwd: root }).sort();
const examples = pages.flatMap((page): Example[] => {
  const text = readFileSync(`${root}${page}`, 'utf8');
  const blocks = text.matchAll(
    /^ *```(?:sh|bash|shell|console)\n([\s\S]*?)^ *```(?:\n\n```text\n([\s\S]*?)^```)?/gm,
  );
  return [...blocks].map(([, commands = '', expected]) => ({ page, commands, expected }));
});
const ruleOf = ({ page, commands }: Example) => rules[page]?.find(({ words }) => commands.includes(words));

/** What the commands print, when they are run against the system under test. */
async function outputOf(commands: string): Promise<string> {
  const { stdout } = await promisify(execFile)(
    'bash',
    ['-eo', 'pipefail', '-c', commands.replaceAll('http://localhost:8080', gateway)],
    {
      cwd: root,
      timeout: 30_000,
      env: { ...process.env, CURL_CA_BUNDLE: process.env.NODE_EXTRA_CA_CERTS },
    },
  );
  return stdout;
}

/** The code that John Doe brings back from where the README tells to sign in. */
async function codeOfTheLink(): Promise<string> {
  const [, link = ''] = /\[sign in\]\((\S+)\)/.exec(readme) ?? [];
  const url = new URL(link.replace('http://localhost:8080', gateway));
  const { callback } = await walkPages(createBrowser(), url, 'johndoe');
  return callback.searchParams.get('code') ?? '';
}

suite('the commands of the documentation do what stands below them', () => {
  for (const [index, example] of examples.entries()) {
    const { page, commands, expected } = example;
    const rule = ruleOf(example);
    if (rule && 'notRunHere' in rule) continue;
    test(`${page}: ${commands.split('\n', 1)[0]} (${index + 1})`, async () => {
      const lines = expected?.trim().split('\n') ?? rule?.shows;
      assert.ok(lines, 'no output stands below it, and no rule says what it shows or why it is not run');
      const output = await outputOf(rule?.prepare ? await rule.prepare(commands) : commands);
      for (const line of lines) assert.ok(output.includes(line), `${line} in ${output}`);
    });
  }

  test('each rule is about one example that stands on its page', () => {
    for (const [page, ofPage] of Object.entries(rules)) {
      for (const rule of ofPage) {
        const meant = examples.filter((example) => example.page === page && ruleOf(example) === rule);
        assert.equal(meant.length, 1, `${page}: ${rule.words}`);
        assert.equal(meant[0]?.expected, undefined, `${page}: ${rule.words}`);
      }
    }
  });

  test('each page of a flow draws it', () => {
    const flows = pages.filter((page) => page.startsWith('docs/flows/'));
    assert.ok(flows.length > 5);
    for (const page of flows) {
      assert.match(readFileSync(`${root}${page}`, 'utf8'), /^```mermaid\nsequenceDiagram$/m, page);
    }
  });

  test('whatever npm script a page names is there', () => {
    const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
    for (const page of pages) {
      const named = readFileSync(`${root}${page}`, 'utf8').matchAll(/\bnpm run ([\w:-]+)(?! ?-w|[\w:-])/g);
      for (const [command, name = ''] of named) assert.ok(name in scripts, `${page}: ${command}`);
    }
  });
});
