import { Pool } from 'undici';

/** One order of token.ts: this many forms, spread over the connections. */
export interface TokenOrder {
  url: string;
  path: string;
  authorization?: string;
  form: Record<string, string>;
  connections: number;
  requests: number;
  /** The newest refresh token of each connection, where these are refreshed. */
  refreshTokens?: string[];
}

process.on('message', async (order: TokenOrder) => {
  const { url, path, authorization, form, connections, requests, refreshTokens } = order;
  const pool = new Pool(url, { connections, pipelining: 1 });
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    ...(authorization !== undefined && { authorization }),
  };
  let started = 0;
  const work = async (_: unknown, connection: number) => {
    while (started++ < requests) {
      const refresh = refreshTokens && { refresh_token: refreshTokens[connection] ?? '' };
      const answer = await pool.request({
        path,
        method: 'POST',
        headers,
        body: new URLSearchParams({ ...form, ...refresh }).toString(),
      });
      const text = await answer.body.text();
      if (answer.statusCode !== 200) throw new Error(`${path} answered ${answer.statusCode}: ${text}`);
      if (refreshTokens) refreshTokens[connection] = JSON.parse(text).refresh_token;
    }
  };
  await Promise.all(Array.from({ length: connections }, work));
  await pool.close();
  process.send?.(refreshTokens ?? []);
});
process.on('disconnect', () => process.exit());
