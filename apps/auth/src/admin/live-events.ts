import { setTimeout as delay } from 'node:timers/promises';
import { Problem, type ServerEvent } from '@gatehouse/service-kit';
import type { AuditReader } from '../audit/audit-reader.ts';

const lookEveryMs = 1_000;
/** Shorter than any request may take at the gateway; whoever wants more asks again, after the last event. */
const longestMs = 50_000;
const mostStreams = 20;
const batchSize = 100;

interface Watched {
  auditReader: AuditReader;
  keys(): Promise<unknown>;
  denylist(): Promise<unknown>;
  /** Whether this process is about to stop. */
  isOver(): boolean;
}

/** Streams of what changes: each entry of the audit log, and the keys and the denylist as they are after each change. */
export function createLiveEvents({ auditReader, keys, denylist, isOver }: Watched) {
  let streams = 0;

  async function* follow(after: string): AsyncGenerator<ServerEvent> {
    let last = after;
    const states = new Map<string, string>();
    try {
      for (
        const endsAt = performance.now() + longestMs;
        performance.now() < endsAt;
        await delay(lookEveryMs)
      ) {
        if (isOver()) return;
        for (const entry of await auditReader.listAfter(last, batchSize)) {
          last = entry.id;
          yield { id: entry.id, event: 'audit', data: entry };
        }
        for (const [event, read] of Object.entries({ keys, denylist })) {
          const data = await read();
          const state = JSON.stringify(data);
          if (states.get(event) === state) continue;
          states.set(event, state);
          yield { id: last, event, data };
        }
        yield {};
      }
    } finally {
      streams -= 1;
    }
  }

  return {
    /**
     * @param after the id of the audit entry that is known already; without it, what comes from now on
     * @throws Problem 503 when there are too many
     */
    async open(after?: string): Promise<AsyncIterable<ServerEvent>> {
      const [newest] = after === undefined ? await auditReader.listNewest(1) : [];
      if (streams >= mostStreams) {
        throw new Problem(503, 'There are too many streams', { headers: { 'Retry-After': '10' } });
      }
      streams += 1;
      return follow(after ?? newest?.id ?? '0');
    },
  };
}
