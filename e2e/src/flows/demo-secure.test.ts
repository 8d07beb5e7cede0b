import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { createBrowser } from '@gatehouse/test-kit';
import { callbackUrl, walkPages } from '../sign-in.ts';
import { freePorts } from '../system.ts';

test('A31 J34 the demo of a pushed request and bound tokens does what the README says', async (t) => {
  const { PORT } = await freePorts();
  const program = new URL('../demo-secure.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [program], {
    env: { ...process.env, CALLBACK_PORT: String(PORT) },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 30_000,
  });
  t.after(() => child.kill());
  const exit = once(child, 'exit');
  const lines: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    lines.push(line.trim());
    if (!/^http\S+request_uri=/.test(line.trim())) continue;
    const { callback } = await walkPages(createBrowser(), new URL(line.trim()), 'alice');
    const { pathname, search } = callback;
    await fetch(new URL(pathname + search, callbackUrl.replace('9999', String(PORT))));
  }
  assert.deepEqual(await exit, [0, null], lines.join('\n'));
  const said = lines.join('\n');
  assert.match(said, /type dpop/i);
  assert.match(said, /^With a proof: +200 .*"username":"alice"/m);
  assert.match(said, /^DPoP without: +401 DPoP .*invalid_dpop_proof/m);
  assert.match(said, /^Bearer without: +401 /m);
});
