import { Pool } from 'undici';

/** Requests that are sent when their time has come, whether the ones before are answered or not. */
export interface RateOrder {
  url: string;
  path: string;
  host: string;
  tokens: string[];
  perSecond: number;
  seconds: number;
  /** In all, spread over the addresses. */
  connections: number;
  /** So many addresses of this machine send them: what one network may take up is bounded. */
  addresses: number;
}

/** What became of them. */
export interface RateAnswer {
  /** How long each 200 took, in milliseconds. */
  goodMs: number[];
  /** How many of them had come by the time of the last request. */
  goodWhileSent: number;
  /** How many there were of each status; 0 are those without an answer. */
  statuses: Record<number, number>;
  /** How many were not sent, since every connection was waiting for an answer. */
  unsent: number;
  /** From the first request to the last one: longer than ordered where this process cannot keep up. */
  sentMs: number;
}

process.on('message', async (order: RateOrder) => {
  const { url, path, host, tokens, perSecond, seconds, connections, addresses } = order;
  const pools = Array.from({ length: addresses }, (_, i) => {
    const localAddress = `127.0.0.${i + 1}`;
    const connect = { timeout: 5_000 };
    return new Pool(url, {
      connections: Math.ceil(connections / addresses),
      pipelining: 1,
      localAddress,
      connect,
    });
  });
  const heads = tokens.map((token) => ({
    host,
    authorization: `Bearer ${token}`,
    accept: 'application/json',
  }));
  const answer: RateAnswer = { goodMs: [], goodWhileSent: 0, statuses: {}, unsent: 0, sentMs: 0 };
  const total = Math.round(perSecond * seconds);
  const { promise: allEnded, resolve } = Promise.withResolvers<void>();
  let sent = 0;
  let ended = 0;

  function end(): void {
    ended += 1;
    if (ended === total) resolve();
  }

  // Not pool.request(): with a stream for each answer this process would need more time than the gateway.
  function ask(): void {
    if (sent - ended >= connections) {
      // Kept for later, they would make this process the slow one.
      answer.unsent += 1;
      sent += 1;
      end();
      return;
    }
    const pool = pools[sent % addresses] as Pool;
    const sentAt = performance.now();
    let status = 0;
    const finish = () => {
      answer.statuses[status] = (answer.statuses[status] ?? 0) + 1;
      if (status === 200) {
        answer.goodMs.push(performance.now() - sentAt);
        if (sent < total) answer.goodWhileSent += 1;
      }
      end();
    };
    pool.dispatch(
      { path, method: 'GET', headers: heads[sent % heads.length] ?? {} },
      {
        onRequestStart() {},
        onResponseStart(_controller, statusCode) {
          status = statusCode;
        },
        onResponseData() {},
        onResponseEnd: finish,
        onResponseError() {
          status = 0;
          finish();
        },
      },
    );
    sent += 1;
  }

  const began = performance.now();
  const ticking = setInterval(() => {
    const due = Math.min(total, ((performance.now() - began) / 1000) * perSecond);
    while (sent < due) ask();
    if (sent < total) return;
    clearInterval(ticking);
    answer.sentMs = performance.now() - began;
  }, 1);
  await allEnded;
  await Promise.all(pools.map((pool) => pool.destroy()));
  process.send?.(answer);
});
process.on('disconnect', () => process.exit());
