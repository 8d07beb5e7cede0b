import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { decidingFiles } from '@gatehouse/explorer';
import { nodeSettings } from '@gatehouse/test-kit';
import { startTestGateway } from './start-gateway.ts';

const page = new URL('../../../packages/explorer/src/page/', import.meta.url);

test('the bare origin and the path without its slash lead to the explorer, and to nothing but GET', async (t) => {
  const gateway = await startTestGateway(t);
  for (const path of ['/', '/explorer']) {
    const { status, headers } = await gateway.send(path);
    assert.deepEqual([status, headers.location], [302, '/explorer/'], path);
  }
  for (const path of ['/', '/explorer/', '/explorer/callback', '/explorer/main.ts']) {
    const { status, headers } = await gateway.send(path, { method: 'POST' });
    assert.deepEqual([status, headers.allow], [405, 'GET, HEAD'], path);
  }
});

test('the page runs the one inline script that its policy names, and nothing else that is inline or of others', async (t) => {
  const gateway = await startTestGateway(t);
  for (const path of ['/explorer/', '/explorer/callback']) {
    const { status, headers, text } = await gateway.send(path);
    assert.equal(status, 200);
    const scripts = [...text.matchAll(/<script[^>]*>([^<]+)<\/script>/g)].map(([, script]) => String(script));
    const policy = String(headers['content-security-policy']).split('; ');
    for (const script of scripts) {
      const hash = `'sha256-${createHash('sha256').update(script).digest('base64')}'`;
      assert.ok(policy.includes(`script-src 'self' ${hash}`), policy.join());
    }
    assert.equal(scripts.length, path === '/explorer/' ? 1 : 0);
    for (const directive of [
      "default-src 'none'",
      "style-src 'self'",
      "connect-src 'self'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
      "require-trusted-types-for 'script'",
      'trusted-types lit-html',
    ])
      assert.ok(policy.includes(directive), directive);
    assert.doesNotMatch(policy.join(), /unsafe/);
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
    assert.doesNotMatch(text, /<style| style=| on\w+=|https?:/);
    for (const [, url] of text.matchAll(/(?:src|href)="([^"]*)"/g))
      assert.equal((await gateway.send(String(url))).status, 200, url);
  }
});

test('what strips types is loaded when the first module is asked for, and not before', async () => {
  const program = `
    import { createRequire } from 'node:module';
    const { explorerFiles } = await import(${JSON.stringify(import.meta.resolve('@gatehouse/explorer'))});
    const { cache } = createRequire(${JSON.stringify(import.meta.url)});
    const isLoaded = () => Object.keys(cache).some((path) => path.includes('amaro'));
    const files = explorerFiles();
    const before = isLoaded();
    files.get('/explorer/main.ts').read();
    console.log(before, isLoaded());`;
  const args = ['--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: nodeSettings });
  assert.equal(stdout, 'false true\n');
});

test('every module that a module asks for is served, as JavaScript, with the lines of its source', async (t) => {
  const gateway = await startTestGateway(t);
  const { text } = await gateway.send('/explorer/');
  const [, map = ''] = /<script type="importmap">([^<]*)</.exec(text) ?? [];
  const { imports } = JSON.parse(map) as { imports: Record<string, string> };
  const seen = new Set<string>();
  const follow = async (path: string): Promise<void> => {
    if (seen.has(path)) return;
    seen.add(path);
    const { status, headers, text: code } = await gateway.send(path);
    assert.equal(status, 200, path);
    assert.match(String(headers['content-type']), /^text\/javascript/, path);
    if (path.endsWith('.ts')) {
      const source = readFileSync(new URL(path.slice('/explorer/'.length), page), 'utf8');
      assert.equal(code.split('\n').length, source.split('\n').length, path);
      assert.doesNotMatch(code, /^(?:export )?interface |import type/m, path);
    }
    for (const [, name = ''] of code.matchAll(
      /^(?:(?:import|export|\}).* from|import|.*await import\() ?['"]([^'"]+)['"]/gm,
    )) {
      assert.ok(/^\.\.?\//.test(name) || name in imports, `${name} in ${path}`);
      await follow(imports[name] ?? new URL(name, `http://gateway${path}`).pathname);
    }
  };
  await follow('/explorer/main.ts');
  await follow('/explorer/callback.ts');
  assert.ok(Object.values(imports).every((path) => seen.has(path)));
  assert.ok(seen.size > 50, String(seen.size));
});

test('a file is compressed for whoever takes that, and not sent again to whoever has it', async (t) => {
  const gateway = await startTestGateway(t);
  const path = '/explorer/style.css';
  const plain = await gateway.send(path, { headers: { 'Accept-Encoding': 'identity' } });
  const compressed = await gateway.send(path, { headers: { 'Accept-Encoding': 'gzip' } });
  assert.equal(compressed.headers['content-encoding'], 'gzip');
  assert.ok(Number(compressed.headers['content-length']) < plain.text.length / 2);
  assert.equal(plain.headers['content-encoding'], undefined);
  assert.equal(plain.headers.vary, 'Accept-Encoding');
  assert.notEqual(plain.headers.etag, compressed.headers.etag);
  const again = await gateway.send(path, {
    headers: { 'Accept-Encoding': 'identity', 'If-None-Match': String(plain.headers.etag) },
  });
  assert.deepEqual([again.status, again.text], [304, '']);
});

test('nothing else of what lies beside these files is served', async (t) => {
  const gateway = await startTestGateway(t);
  const others = ['index.html', 'tsconfig.json', '../index.ts', '..%2findex.ts', 'lib/jose/../../index.html'];
  for (const path of [...others, 'lib/jose/package.json', 'lib/lit-html/node/lit-html.js', 'views/'])
    assert.ok([400, 404].includes((await gateway.send(`/explorer/${path}`)).status), path);
});

test('the source of each file that an experiment names is shown as plain text, and that of no other', async (t) => {
  const gateway = await startTestGateway(t);
  for (const path of decidingFiles) {
    const { status, headers, text } = await gateway.send(`/explorer/source/${path}`);
    assert.equal(status, 200, path);
    assert.equal(text, readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8'), path);
    assert.equal(headers['content-type'], 'text/plain; charset=utf-8');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.match(String(headers['content-security-policy']), /^default-src 'none';/);
  }
  for (const path of [
    '',
    'package.json',
    'apps/auth/src/config.ts',
    'apps/gateway/src/',
    'apps/gateway/src/App.ts',
    'apps/gateway/src/../src/config.ts',
    'apps/gateway/src/%2e%2e/src/config.ts',
    'apps/gateway/src/..%2fsrc/start.ts',
    '../../infra/secrets/demo/encryption-key',
    '..%2f..%2finfra/secrets/demo/encryption-key',
    '/etc/passwd',
    'file:///etc/passwd',
  ]) {
    const { status } = await gateway.send(`/explorer/source/${path}`);
    assert.ok([400, 404].includes(status), `${path} is ${status}`);
  }
});
