import { fork } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { createTestIssuer, startRedis } from '@gatehouse/test-kit';
import { type Child, startChild } from './children.ts';
import { completeDenylist } from './complete-denylist.ts';
import { haproxyVersion, startHaproxy } from './haproxy.ts';
import type { LoadOrder } from './load.ts';
import { type Measured, measure, type Plan } from './measure.ts';
import { measuredOn, tableOf, writeSection } from './report.ts';
import type { BenchSetup } from './target.ts';

const plan: Plan = { rounds: 3, slices: 10, warmUpRequests: 10_000, measuredRequests: 20_000 };
const connections = 12;
const distinctTokens = 50;
const inAnHour = Math.floor(Date.now() / 1000) + 3600;
const packages = [
  'http-proxy-middleware',
  'undici',
  'express',
  '@fastify/http-proxy',
  'fastify',
  'fast-jwt',
  'express-oauth2-jwt-bearer',
  'ioredis',
];

const issuer = await createTestIssuer();
const tokens = await Promise.all(
  Array.from({ length: distinctTokens }, () => issuer.sign({ exp: inAnHour })),
);
const redis = await startRedis();
await completeDenylist(redis.url);
const upstream = await startChild('./upstream.ts');
const setup: BenchSetup = {
  upstreamUrl: `http://127.0.0.1:${upstream.port}`,
  issuer: issuer.issuer,
  audience: issuer.audience,
  jwksUri: issuer.jwksUri,
  publicKeyPem: String(createPublicKey(issuer.signingKey.privateKey).export({ type: 'spki', format: 'pem' })),
  redisUrl: redis.url,
  accessLog: false,
};

const targets: Measured[] = [];
await add(
  'Gatehouse gateway',
  'hygiene, cached token, denylist in Redis, limits, breaker, shedding, helmet, metrics, access log; no scope, as /items has none here',
  startChild('./targets/gatehouse.ts', setup),
);
await add(
  '@fastify/http-proxy + fast-jwt',
  'cached token; no denylist, log or metrics',
  startChild('./targets/fastify.ts', setup),
);
await add(
  '@fastify/http-proxy + fast-jwt + log',
  'the same with the access log that Fastify has',
  startChild('./targets/fastify.ts', { ...setup, accessLog: true }),
);
await add(
  'http-proxy-middleware + express-oauth2-jwt-bearer + ioredis',
  'the parts as they come: token verified and Redis EXISTS asked each time; no log or metrics',
  startChild('./targets/stock.ts', setup),
);
await add(
  'node:http + undici',
  'the floor: cached token, nothing else',
  startChild('./targets/floor.ts', setup),
);
if (haproxyVersion()) {
  await add('HAProxy', 'one thread, token verified each time; no denylist or log', startHaproxy(setup));
}

const load = fork(new URL('./load.ts', import.meta.url));
load.once('exit', () => process.exit(1));
try {
  await measure(targets, plan, send);
  const table = tableOf('gateway', targets);
  process.stdout.write(`${table}\n`);
  writeSection('What a request costs at the gateway', reportOf(table));
} finally {
  load.removeAllListeners('exit');
  // While the children live, this process does too.
  await redis.stop();
  await issuer.close();
  for (const child of [load, upstream.child, ...targets.map((target) => target.child)]) child.kill();
}

async function add(name: string, does: string, starting: Promise<Child>): Promise<void> {
  targets.push({ name, does, microseconds: [], ...(await starting) });
}

async function send({ port }: Measured, requests: number): Promise<void> {
  const order: LoadOrder = {
    url: `http://127.0.0.1:${port}`,
    path: '/items/5f0c6f0e',
    host: new URL(issuer.issuer).host,
    tokens,
    connections,
    requests,
  };
  load.send(order);
  await once(load, 'message');
}

function reportOf(table: string): string {
  const { rounds, slices, warmUpRequests, measuredRequests } = plan;
  return `CPU microseconds per request of the process under test (user and system time, all threads), for GET /items/{id} through
to a trivial upstream over ${connections} kept connections with ${distinctTokens} different ES256 tokens: ${warmUpRequests.toLocaleString('en')} requests to warm up, then
${rounds} rounds of ${measuredRequests.toLocaleString('en')}, interleaved in ${slices} slices each. CPU time is compared because wall time depends on what else the machine does; the
figures of one run compare with each other, not with those of another machine.

${table}

What the rows do not show: Gatehouse's row measures the first path of its routing table, where matching costs least. It costs
less than Fastify with a log and more than Fastify without one, twice the floor; before limits, breaker and shedding it
cost as much as Fastify without a log. Scopes of /items are checked by the service behind, not here.

${measuredOn(packages)} HAProxy ${haproxyVersion() ?? 'not installed'}.
Run it with \`npm run bench\`; it needs Linux and redis-server, and takes HAProxy in where \`haproxy\` is installed.`;
}
