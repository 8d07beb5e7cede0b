import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertRefusedToken, call } from './http.ts';
import { guardedRoutes } from './target.ts';

const withinMs = 1_000;
const pauseMs = 5;

/** The gateway and each service take the token, whatever it may do there. */
export async function assertLive(token: string): Promise<void> {
  for (const [name, url] of Object.entries(guardedRoutes)) {
    const { status } = await call(url, { token });
    assert.notEqual(status, 401, `${name} refuses a token that is good`);
  }
}

/**
 * Within a second, the gateway and each service refuse the token, and go on refusing it (J37).
 * @returns how long after the call each still took it, in words
 */
export async function assertDies(token: string): Promise<string> {
  const startedAt = performance.now();
  const lags = Object.entries(guardedRoutes).map(async ([name, url]) => {
    for (;;) {
      const askedAt = performance.now() - startedAt;
      const answer = await call(url, { token });
      if (answer.status === 401) {
        assertRefusedToken(answer);
        assert.equal((await call(url, { token })).status, 401, `${name} takes the token again`);
        return `${name} ${askedAt < 1 ? 'at once' : `after ${Math.round(askedAt)} ms`}`;
      }
      if (askedAt > withinMs) assert.fail(`${name} still takes the token after ${Math.round(askedAt)} ms`);
      await sleep(pauseMs);
    }
  });
  return `refused: ${(await Promise.all(lags)).join(', ')}`;
}
