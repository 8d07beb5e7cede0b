import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gateway } from '../target.ts';

const docs = new URL('../../../docs/', import.meta.url);
const pages = globSync(['how-a-request-is-decided.md', 'flows/*.md'], { cwd: fileURLToPath(docs) }).sort();
const block = /^```sh\n([\s\S]*?)^```\n\n```text\n([\s\S]*?)^```/gm;

suite('the commands of the documentation do what stands below them', () => {
  for (const page of pages) {
    const text = readFileSync(new URL(page, docs), 'utf8');
    const examples = [...text.matchAll(block)].map(([, commands = '', expected = '']) => ({
      commands,
      expected,
    }));
    if (page.startsWith('flows/')) assert.match(text, /^```mermaid\nsequenceDiagram$/m, page);
    // One that is followed by no output would be run by nobody.
    assert.equal(text.match(/^```sh$/gm)?.length ?? 0, examples.length, page);
    for (const [index, { commands, expected }] of examples.entries()) {
      test(`${page}, example ${index + 1}`, async () => {
        const { stdout } = await promisify(execFile)(
          'bash',
          ['-eo', 'pipefail', '-c', commands.replaceAll('http://localhost:8080', gateway)],
          { timeout: 30_000, env: { ...process.env, CURL_CA_BUNDLE: process.env.NODE_EXTRA_CA_CERTS } },
        );
        for (const line of expected.trim().split('\n'))
          assert.ok(stdout.includes(line), `${line} in ${stdout}`);
      });
    }
  }
});
