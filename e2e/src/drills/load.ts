import { setTimeout as delay } from 'node:timers/promises';

/** What a request is, by what must never be the answer to it. */
export type Kind = 'good token' | 'revoked token' | 'no token';

/** One request of the load and what became of it; no status when there was no whole answer. */
export interface Outcome {
  kind: Kind;
  path: string;
  /** Since the load began. */
  atMs: number;
  tookMs: number;
  status: number | undefined;
  /** Nobody listened: it did not reach anything that could have answered. */
  isRefused: boolean;
}

export interface Load {
  /** Milliseconds since it began. */
  now(): number;
  /** Sends this good token from now on. */
  use(token: string): void;
  /** Everything answered so far, in the order of sending. */
  outcomes(): Outcome[];
  /** No request starts after this, and all have ended. */
  stop(): Promise<Outcome[]>;
}

const paths = ['/users/me', '/items', '/orders'];
const everyMs = 20;

/** Fifty requests a second at the gateway, whether the ones before are answered or not: of ten, eight have a good token. */
export function startLoad(gateway: string, { good, revoked }: { good: string; revoked: string }): Load {
  const began = performance.now();
  const outcomes: Outcome[] = [];
  const underWay = new Set<Promise<void>>();
  let goodNow = good;
  let isOver = false;

  async function ask(kind: Kind, path: string): Promise<void> {
    const token = kind === 'good token' ? goodNow : revoked;
    const headers = kind === 'no token' ? {} : { authorization: `Bearer ${token}` };
    const sentAt = performance.now();
    const outcome: Outcome = {
      kind,
      path,
      atMs: sentAt - began,
      tookMs: 0,
      status: undefined,
      isRefused: false,
    };
    outcomes.push(outcome);
    try {
      const answer = await fetch(gateway + path, { headers, signal: AbortSignal.timeout(10_000) });
      await answer.arrayBuffer();
      outcome.status = answer.status;
    } catch (error) {
      // It stays without a status, which the figures tell.
      outcome.isRefused = (error as { cause?: { code?: unknown } }).cause?.code === 'ECONNREFUSED';
    }
    outcome.tookMs = performance.now() - sentAt;
  }

  const running = (async () => {
    for (let count = 0; !isOver; count++) {
      const kind = count % 10 === 8 ? 'revoked token' : count % 10 === 9 ? 'no token' : 'good token';
      const asked = ask(kind, paths[count % paths.length] as string);
      underWay.add(asked);
      asked.finally(() => underWay.delete(asked));
      await delay(everyMs);
    }
    await Promise.all(underWay);
  })();

  return {
    now: () => performance.now() - began,
    use(token) {
      goodNow = token;
    },
    outcomes: () => outcomes.filter(({ tookMs }) => tookMs > 0),
    async stop() {
      isOver = true;
      await running;
      return outcomes;
    },
  };
}

/** Answers that must never be: a good token called bad, a bad one taken, whatever is broken. */
export function wrongVerdicts(outcomes: readonly Outcome[]): Outcome[] {
  return outcomes.filter(({ kind, status = 0 }) =>
    kind === 'good token' ? status === 401 || status === 403 : status >= 200 && status < 300,
  );
}

/** Good tokens that were answered with 200, in hundredths of all that were sent. */
export function availability(outcomes: readonly Outcome[]): number {
  const good = outcomes.filter(({ kind }) => kind === 'good token');
  return (100 * good.filter(({ status }) => status === 200).length) / Math.max(1, good.length);
}

/** Milliseconds that the answers took, all but one in a hundred of them. */
export function p99(outcomes: readonly Outcome[]): number {
  const times = outcomes.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return times[Math.min(times.length - 1, Math.floor(times.length * 0.99))] ?? Number.NaN;
}

/** How many answers there are of each status, the most frequent first. */
export function statuses(outcomes: readonly Outcome[]): string {
  const counts = Map.groupBy(outcomes, ({ status }) => String(status ?? 'no answer'));
  return [...counts]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([status, { length }]) => `${length} × ${status}`)
    .join(', ');
}
