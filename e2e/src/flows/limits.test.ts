import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { call } from '../http.ts';
import type { TokenAnswer } from '../shapes.ts';
import { passwords } from '../sign-in.ts';
import { gateway } from '../target.ts';

test('H17 A47 a guesser who claims another address each time is refused all the same, and others at his address are not', async () => {
  const username = `nobody-${randomUUID()}`;
  const guess = (round: number, form: Record<string, string>) =>
    call<TokenAnswer>(`${gateway}/token`, {
      form: { grant_type: 'password', client_id: 'demo-first-party', scope: 'items:read', ...form },
      headers: {
        'x-forwarded-for': `203.0.113.${round}`,
        'x-real-ip': `203.0.113.${round}`,
        forwarded: `for=203.0.113.${round}`,
      },
    });
  for (let round = 1; round <= 12; round += 1) {
    const { status, headers, body } = await guess(round, { username, password: 'wrong-password' });
    assert.equal(status, round <= 10 ? 400 : 429);
    assert.equal(body.error, round <= 10 ? 'invalid_grant' : 'too_many_requests');
    if (status === 429) assert.ok(Number(headers.get('retry-after')) > 0);
  }
  assert.equal((await guess(13, { username: 'bob', password: passwords.bob })).status, 200);
});
