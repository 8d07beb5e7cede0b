import { Pool } from 'undici';

/** One order of run.ts or service.ts: this many requests, spread over the connections and the tokens. */
export interface LoadOrder {
  url: string;
  path: string;
  host: string;
  tokens: string[];
  connections: number;
  requests: number;
}

process.on('message', async ({ url, path, host, tokens, connections, requests }: LoadOrder) => {
  const pool = new Pool(url, { connections, pipelining: 1 });
  let started = 0;
  const work = async () => {
    while (started < requests) {
      const token = tokens[started++ % tokens.length];
      const headers = { host, authorization: `Bearer ${token}`, accept: 'application/json' };
      const { statusCode, body } = await pool.request({ path, method: 'GET', headers });
      const text = await body.text();
      if (statusCode !== 200) throw new Error(`${url} answered ${statusCode}: ${text}`);
    }
  };
  await Promise.all(Array.from({ length: connections }, work));
  await pool.close();
  process.send?.('done');
});
process.on('disconnect', () => process.exit());
