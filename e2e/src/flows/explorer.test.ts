import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateway } from '../target.ts';

test('the origin leads to the explorer, whose page and modules are served', async () => {
  const response = await fetch(gateway, { signal: AbortSignal.timeout(10_000) });
  assert.equal(response.url, `${gateway}/explorer/`);
  assert.equal(response.status, 200);
  const page = await response.text();
  const urls = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => `${gateway}${url}`);
  assert.ok(urls.length > 20);
  for (const url of urls) {
    const file = await fetch(url, { signal: AbortSignal.timeout(10_000) });
    assert.equal(file.status, 200, url);
    assert.ok((await file.text()).length > 0, url);
  }
});
