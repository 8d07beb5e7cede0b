import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { DenylistWriter, Revocation, TokenReference } from '../src/index.ts';

export function token(fields: Partial<TokenReference> = {}): TokenReference {
  return { jti: randomUUID(), sub: 'alice', gid: 'grant', iat: Math.floor(Date.now() / 1000), ...fields };
}

/** Epoch seconds. */
export function inFiveMinutes(): number {
  return Math.floor(Date.now() / 1000) + 300;
}

/** Waits until `condition` holds; a condition that throws does not hold yet. */
export async function until(condition: () => unknown, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let reason: unknown = 'false';
    try {
      if (await condition()) return;
    } catch (error) {
      reason = error;
    }
    if (performance.now() > deadline)
      throw new Error(`not within ${timeoutMs} ms: ${reason}`, { cause: reason });
    await delay(5);
  }
}

/** Appends, as often as it takes: on a busy machine the writer's deadline may pass before Redis answers. */
export function append(writer: DenylistWriter, revocations: Revocation[]): Promise<void> {
  return until(() => writer.append(revocations).then(() => true));
}

/** Marks the log complete, as often as it takes. */
export function markComplete(writer: DenylistWriter): Promise<void> {
  return until(() => writer.markComplete().then(() => true));
}
