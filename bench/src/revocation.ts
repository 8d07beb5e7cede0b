import { startProcesses } from '@gatehouse/e2e/processes';
import { Pool } from 'undici';
import { measuredOn, quantileOf, tableWith, writeSection } from './report.ts';
import { sized } from './size.ts';

const samples = sized(1_000);
const withinMs = 5_000;
const basic = Buffer.from('demo-reporting:demo-reporting-secret').toString('base64');
const client = { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' };
const paths = { gateway: '/items', users: '/users/me', items: '/items', orders: '/orders' };
type Place = keyof typeof paths;

// Servers that were started do not keep a process alive, not even one that waits for them to end.
const awake = setInterval(() => {}, 60_000);
{
  await using system = await startProcesses();
  const auth = new Pool(system.members.auth.url, { connections: 1 });
  const places = Object.keys(paths) as Place[];
  const pools = places.map((name) => [name, new Pool(system.members[name].url, { connections: 1 })] as const);
  const lags = Object.fromEntries(places.map((name) => [name, [] as number[]])) as Record<Place, number[]>;

  for (let sample = 1; sample <= samples; sample++) {
    const token = await newToken(auth);
    // So that it is a remembered token that must be refused.
    for (const [name, pool] of pools) {
      if ((await ask(pool, name, token)) === 401) throw new Error(`${name} refuses a token that is good`);
    }
    await post(auth, '/revoke', { token });
    const acknowledgedAt = performance.now();
    await Promise.all(
      pools.map(async ([name, pool]) => {
        while ((await ask(pool, name, token)) !== 401) {
          if (performance.now() - acknowledgedAt > withinMs) throw new Error(`${name} still takes the token`);
        }
        lags[name].push(performance.now() - acknowledgedAt);
      }),
    );
  }
  writeSection('How long a revoked token is still taken', reportOf(lags));
  await Promise.all([auth, ...pools.map(([, pool]) => pool)].map((pool) => pool.close()));
}
clearInterval(awake);

async function newToken(auth: Pool): Promise<string> {
  const text = await post(auth, '/token', { grant_type: 'client_credentials', scope: 'items:read' });
  return JSON.parse(text).access_token;
}

async function post(auth: Pool, path: string, form: Record<string, string>): Promise<string> {
  const body = new URLSearchParams(form).toString();
  const answer = await auth.request({ path, method: 'POST', headers: client, body });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`${path} answered ${answer.statusCode}: ${text}`);
  return text;
}

/** The status that a place answers this token with. */
async function ask(pool: Pool, name: Place, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  const { statusCode, body } = await pool.request({ path: paths[name], method: 'GET', headers });
  await body.dump();
  return statusCode;
}

function reportOf(lags: Record<Place, number[]>): string {
  const ms = (milliseconds: number) => `${milliseconds.toFixed(1)} ms`;
  const rows = Object.entries(lags).map(([name, each]) => [
    name,
    ms(quantileOf(each, 0.5)),
    `**${ms(quantileOf(each, 0.99))}**`,
    ms(Math.max(...each)),
  ]);
  return `From the answer of /revoke until the first refusal has come from the gateway and from each service, asked one request
after the other on a connection of its own: ${samples.toLocaleString('en')} tokens, each of which all four have taken before. That request itself is in
the figures, and so are the others that run at the same time: a process for each service, PostgreSQL and Redis, and the
asker, on the cores of one machine. The aim was 50 ms in ninety-nine of a hundred.

${tableWith(['refused by', 'p50', 'p99', 'longest'], rows)}

${measuredOn(['ioredis', 'undici', 'oidc-provider'])}
Run it with \`npm run bench -- revocation\`; it needs Linux, postgres and redis-server.`;
}
