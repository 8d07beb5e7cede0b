import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { groups } from './checks.ts';

const root = new URL('../../../', import.meta.url);
const file = new URL('docs/security.md', root);
const sources = globSync(
  ['{apps,packages}/*/{src,test}/**/*.test.ts', 'e2e/src/**/*.test.ts', 'packages/*/testing/*.ts'],
  {
    cwd: root,
  },
).sort();
const title =
  /\b(?:test|suite|describe)(?:\.\w+)?\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g;

const testsOf = new Map<string, Set<string>>();
for (const source of sources) {
  for (const [, ...literals] of readFileSync(new URL(source, root), 'utf8').matchAll(title)) {
    for (const [id] of literals.join('').matchAll(/\b[TJHZAR]\d{2}\b/g)) {
      testsOf.set(id, (testsOf.get(id) ?? new Set()).add(source));
    }
  }
}

const faults: string[] = [];
const known = new Set<string>();
const sections = groups.map(({ letter, title, checks }) => {
  const rows = checks.map(({ asks, reason }, i) => {
    const id = `${letter}${String(i + 1).padStart(2, '0')}`;
    known.add(id);
    const tests = [...(testsOf.get(id) ?? [])];
    if (tests.length === 0 && !reason) faults.push(`${id} has neither a test nor a reason`);
    if (tests.length > 0 && reason?.startsWith('not tested'))
      faults.push(`${id} has a test and says it has none`);
    const links = tests.map(
      (path) => `[${path.split('/').slice(0, 2).join('/')}: ${basename(path, '.test.ts')}](../${path})`,
    );
    return `| ${id} | ${asks} | ${[...(reason ? [reason] : []), ...links].join('<br>')} |`;
  });
  return `## ${title}\n\n| id | what is checked | tests |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
});
for (const [id, tests] of testsOf)
  if (!known.has(id)) faults.push(`${[...tests].join(', ')}: nobody knows ${id}`);

const text = `# Security checks and their tests

Each row is one check from outside, and the files with the tests that carry its id in their titles; or the reason why
there is none. The ids are our own: T tokens on their way, J what is in a token, H HTTP, Z authorization in the
services, A the authorization server, R faults. The headings name the RFCs and the chapters of OWASP ASVS 5 that the
checks come from. A row with a test says that somebody looked, not that every case of the check is covered. The tests of
tokens in auth-middleware run against the middleware alone, against a service, and against the gateway.

Made from the titles of the tests by \`npm run security\`; \`npm run check\` fails where they differ, and where a check
has neither a test nor a reason.

${sections.join('\n')}`;

if (process.argv.includes('--check')) {
  if (readFileSync(file, 'utf8') !== text) {
    faults.push('docs/security.md does not say what the tests do: npm run security');
  }
} else {
  writeFileSync(file, text);
}
for (const fault of faults) process.stderr.write(`${fault}\n`);
if (faults.length > 0) process.exitCode = 1;
