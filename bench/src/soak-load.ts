import { Pool } from 'undici';

/** So many requests over so many connections; of twenty, two are given up and one has an upstream that fails. */
export interface SoakOrder {
  url: string;
  host: string;
  tokens: string[];
  connections: number;
  requests: number;
}

/** What became of them, by what was asked for. */
export type SoakAnswer = Record<string, Record<string, number>>;

const failures = ['breaks', 'half', 'fails'];
const mostAbortMs = 3;

process.on('message', async ({ url, host, tokens, connections, requests }: SoakOrder) => {
  const pool = new Pool(url, { connections, pipelining: 1 });
  const counts: SoakAnswer = {};
  let started = 0;

  async function ask(count: number): Promise<void> {
    const fate = count % 20;
    const failing = failures[Math.floor(count / 20) % failures.length] as string;
    const isGivenUp = fate === 5 || fate === 15;
    const what = isGivenUp ? 'given up' : fate === 10 ? failing : 'good';
    const leaving = new AbortController();
    const timer = isGivenUp && setTimeout(() => leaving.abort(), Math.random() * mostAbortMs);
    const became = await pool
      .request({
        path: `/items/${fate === 10 ? failing : '5f0c6f0e'}`,
        method: 'GET',
        headers: { host, authorization: `Bearer ${tokens[count % tokens.length]}` },
        signal: leaving.signal,
      })
      .then(async ({ statusCode, body }) => {
        await body.text();
        return String(statusCode);
      })
      .catch(() => 'broken off');
    if (timer) clearTimeout(timer);
    const statuses = counts[what] ?? {};
    counts[what] = statuses;
    statuses[became] = (statuses[became] ?? 0) + 1;
  }

  const work = async () => {
    while (started < requests) await ask(started++);
  };
  await Promise.all(Array.from({ length: connections }, work));
  await pool.close();
  process.send?.(counts);
});
process.on('disconnect', () => process.exit());
