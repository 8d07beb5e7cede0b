import { createPublicKey, randomUUID } from 'node:crypto';
import { createTestIssuer, startPostgres, startRedis } from '@gatehouse/test-kit';
import { type Child, startChild, startLoad } from './children.ts';
import { completeDenylist } from './complete-denylist.ts';
import { fastApiVersions, startFastApi } from './fastapi.ts';
import type { LoadOrder } from './load.ts';
import { type Measured, measure, type Plan } from './measure.ts';
import { measuredOn, medianOf, tableOf, writeSection } from './report.ts';
import { sized } from './size.ts';
import type { VerifierSetup } from './targets/express-bearer.ts';

const plan: Plan = { rounds: 5, slices: 10, warmUpRequests: sized(10_000), measuredRequests: sized(10_000) };
const connections = 12;
const distinctTokens = 50;
const inAnHour = Math.floor(Date.now() / 1000) + 3600;
const quotePath = `/quotes/${randomUUID()}`;
// The first of the demo items.
const itemPath = '/items/17e50000-0000-4000-8000-000000000001';

interface Target extends Measured {
  path: string;
}

const [postgres, redis, issuer] = await Promise.all([startPostgres(), startRedis(), createTestIssuer()]);
await completeDenylist(redis.url);
const tokens = await Promise.all(
  Array.from({ length: distinctTokens }, () => issuer.sign({ exp: inAnHour })),
);
const setup: VerifierSetup = {
  issuer: issuer.issuer,
  audience: issuer.audience,
  jwksUri: issuer.jwksUri,
  publicKeyPem: String(createPublicKey(issuer.signingKey.privateKey).export({ type: 'spki', format: 'pem' })),
};
const env = {
  PORT: '0',
  METRICS_PORT: '0',
  LOG_LEVEL: 'info',
  EXPLAIN: 'false',
  ISSUER: issuer.issuer,
  JWKS_URI: issuer.jwksUri,
  REDIS_URL: redis.url,
  DEMO: 'true',
};
const onPostgres = await startChild('./targets/items.ts', { ...env, DATABASE_URL: postgres.url });
const onPglite = await startChild('./targets/items.ts', env);
const stock = await startChild('./targets/express-bearer.ts', setup);
const pythonVersions = fastApiVersions();

const targets: Target[] = [];
const ours = add(
  'Gatehouse, no store',
  'token remembered, denylist, scope, input and answer validated, metrics, access log',
  onPostgres,
);
const peers = [
  add('express + express-oauth2-jwt-bearer, no store', 'token verified each time (strict), scope', stock),
];
if (pythonVersions === undefined) {
  process.stdout.write('FastAPI is left out: python3-fastapi, uvicorn and python3-jose are not installed\n');
} else {
  peers.push(
    add(
      'FastAPI + python-jose, no store',
      'token verified each time, scope, input and answer validated; the key given as text, as in the tutorial',
      await startFastApi(setup, 'each time'),
    ),
    add(
      'FastAPI + python-jose, no store, key made once',
      'the same, but the key is not made of its text on every request',
      await startFastApi(setup, 'once'),
    ),
  );
}
add('express, no store', 'the floor: the same answer without any check', stock, `/open${quotePath}`);
add('Gatehouse, GET /items/{id}', 'as the first row, and one row of PostgreSQL', onPostgres, itemPath);
add(
  'Gatehouse, GET /items/{id}, PGlite',
  'the same; the database runs in the process and counts',
  onPglite,
  itemPath,
);

const load = startLoad<LoadOrder>('./load.ts');
try {
  await measure(targets, plan, send);
  writeSection('What a request costs at a service', reportOf(tableOf('route', targets)));
} finally {
  load.stop();
  for (const { child } of targets) child.kill();
  await Promise.all([redis.stop(), postgres.stop(), issuer.close()]);
}

function add(name: string, does: string, child: Child, path = quotePath): Target {
  const target: Target = { ...child, name, does, path, microseconds: [] };
  targets.push(target);
  return target;
}

async function send({ port, path }: Target, requests: number): Promise<void> {
  const url = `http://127.0.0.1:${port}`;
  await load.send({ url, path, host: new URL(url).host, tokens, connections, requests });
}

function compared(peer: Target): string {
  const ratios = peer.microseconds.map((spent, round) => spent / (ours.microseconds[round] ?? Number.NaN));
  const each = [...ratios].sort((a, b) => a - b).map((ratio) => ratio.toFixed(1));
  return `- ${peer.name}: **${medianOf(ratios).toFixed(1)}** times ours (rounds: ${each.join(', ')})`;
}

function reportOf(table: string): string {
  const { rounds, slices, warmUpRequests, measuredRequests } = plan;
  return `CPU microseconds per request of the process under test (user and system time, all threads), asked directly and not
through the gateway, over ${connections} kept connections with ${distinctTokens} different ES256 tokens: ${warmUpRequests.toLocaleString('en')} requests to warm up, then ${rounds} rounds
of ${measuredRequests.toLocaleString('en')}, interleaved in ${slices} slices each. The route without a store is GET /quotes/{id}: it answers four fields, and
is declared in the items service beside its own routes. The work of a PostgreSQL server is not in its row.

${table}

${peers.map(compared).join('\n')}

The aim was 90 on a machine where FastAPI takes 1,530 and stock Express 209: 17 times ours, and 2.3 times ours.

${measuredOn(['express', 'express-oauth2-jwt-bearer', 'zod', 'drizzle-orm', 'pg', '@electric-sql/pglite'])} ${pythonVersions ?? 'FastAPI not installed'}.
Run it with \`npm run bench -- service\`; it needs Linux, postgres and redis-server, and takes FastAPI in where Debian's
python3-fastapi, uvicorn and python3-jose are installed.`;
}
