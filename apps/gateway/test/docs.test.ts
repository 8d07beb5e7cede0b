import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestGateway } from './start-gateway.ts';

const types = {
  '/docs': 'text/html',
  '/docs/': 'text/html',
  '/docs/oauth2-redirect.html': 'text/html',
  '/docs/initializer.js': 'text/javascript',
  '/docs/oauth2-redirect.js': 'text/javascript',
  '/docs/swagger-ui-bundle.js': 'text/javascript',
  '/docs/style.css': 'text/css',
  '/docs/swagger-ui.css': 'text/css',
  '/docs/favicon-32x32.png': 'image/png',
};

test('what the page is made of runs no inline script or style, loads from here alone, and is framed by nobody', async (t) => {
  const gateway = await startTestGateway(t);
  for (const [path, type] of Object.entries(types)) {
    const { status, headers, text } = await gateway.send(path);
    assert.equal(status, 200, path);
    assert.ok(String(headers['content-type']).startsWith(type), path);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['x-frame-options'], 'DENY');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    // With the same value as the sign-in pages: a window that they are shown in must not reach this one.
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
    assert.deepEqual(String(headers['content-security-policy']).split('; ').sort(), [
      "base-uri 'none'",
      "connect-src 'self'",
      "default-src 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "img-src 'self' data:",
      "script-src 'self'",
      "style-src 'self'",
    ]);
    if (type !== 'text/html') continue;
    for (const [, url] of text.matchAll(/(?:src|href)="([^"]*)"/g)) {
      assert.equal((await gateway.send(String(url))).status, 200, url);
    }
    assert.doesNotMatch(text, /<script>|<style|style=|https?:/);
  }
});

test('a part that the browser has already is not sent again', async (t) => {
  const gateway = await startTestGateway(t);
  const path = '/docs/swagger-ui-bundle.js';
  const { headers } = await gateway.send(path);
  assert.equal(headers['cache-control'], 'no-cache');
  const again = await gateway.send(path, { headers: { 'If-None-Match': String(headers.etag) } });
  assert.deepEqual([again.status, again.text], [304, '']);
  assert.ok(again.headers['content-security-policy']);
  assert.equal((await gateway.send(path, { headers: { 'If-None-Match': '"other"' } })).status, 200);
});

test('nothing else of what lies beside these files is served', async (t) => {
  const gateway = await startTestGateway(t);
  const others = [
    'index.html',
    'index.css',
    'index.js',
    'swagger-ui.js',
    'swagger-initializer.js',
    'package.json',
  ];
  for (const file of [
    ...others,
    'swagger-ui-bundle.js.map',
    'docs-router.ts',
    'style.css/x',
    'STYLE.css',
    '...',
  ]) {
    assert.equal((await gateway.send(`/docs/${file}`)).status, 404, file);
  }
  for (const path of ['/DOCS', '/docs/..%2fapp.ts', '/docs/../app.ts', '/docs/%2e%2e/app.ts']) {
    assert.ok([400, 404].includes((await gateway.send(path)).status), path);
  }
});

test('the documentation is only read: every other method is 405', async (t) => {
  const gateway = await startTestGateway(t);
  for (const path of ['/openapi.json', '/docs', '/docs/style.css', '/docs/oauth2-redirect.html']) {
    assert.equal((await gateway.send(path, { method: 'HEAD' })).status, 200, path);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const answer = await gateway.send(path, { method });
      assert.deepEqual([answer.status, answer.headers.allow], [405, 'GET, HEAD'], `${method} ${path}`);
      assert.equal(answer.headers['content-security-policy'], "default-src 'none';frame-ancestors 'none'");
    }
  }
});
