import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decidingFiles } from '@gatehouse/explorer';
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

test('wherever the gateway runs, it has the files that experiments name', async () => {
  for (const path of decidingFiles) {
    const shown = await fetch(`${gateway}/explorer/source/${path}`, { signal: AbortSignal.timeout(10_000) });
    assert.equal(shown.status, 200, path);
    assert.equal(
      await shown.text(),
      readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8'),
      path,
    );
  }
});
