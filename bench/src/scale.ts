import { randomBytes, randomUUID } from 'node:crypto';
import { type Child, residentBytes, startChild, startLoad } from './children.ts';
import type { LoadOrder } from './load.ts';
import { type Measured, measure, type Plan } from './measure.ts';
import { measuredOn, tableOf, writeSection } from './report.ts';
import { sized } from './size.ts';
import { startStage } from './stage.ts';

const many = { tokens: sized(100_000), revocations: sized(1_000_000) };
const few = { tokens: 100, revocations: 100 };
// As many requests as tokens: each of them comes once in the time to warm up, and once in every round.
const plan: Plan = { rounds: 5, slices: 10, warmUpRequests: many.tokens, measuredRequests: many.tokens };
// By default it is 20,000, and then nearly every token of many is verified again each time.
const tokenCacheSize = many.tokens;
// Without a limit V8 takes more than it needs, as long as there is more.
const nodeOptions = ['--max-old-space-size=120', '--max-semi-space-size=8'];
// As in the image: else each thread keeps memory of its own.
process.env.MALLOC_ARENA_MAX = '2';
const connections = 12;
const inAnHour = Math.floor(Date.now() / 1000) + 3_500;

interface Target extends Measured {
  tokens: string[];
  /** How many requests it has had. */
  asked: number;
}

await using stage = await startStage();
// Every caller with a grant of his own, as it is where many people are signed in.
const sign = () => stage.issuer.sign({ exp: inAnHour, jti: newId(), sub: randomUUID(), gid: newId() });
const allTokens = await Promise.all(Array.from({ length: many.tokens }, sign));

const targets: Target[] = [];
for (const { tokens, revocations } of [few, many]) {
  const entries = Array.from({ length: revocations }, () => ({ jti: newId(), exp: inAnHour }));
  const redisUrl = await stage.addRedis(entries);
  const setup = { ...stage.setup, redisUrl, tokenCacheSize };
  const gateway = await startChild('./targets/gatehouse.ts', setup, nodeOptions);
  await untilReady(gateway);
  const counted = (count: number, what: string) => `${count.toLocaleString('en')} ${what}`;
  targets.push({
    ...gateway,
    name: `${counted(tokens, 'tokens')}, ${counted(revocations, 'revocations')}`,
    does: '',
    tokens: allTokens.slice(0, tokens),
    asked: 0,
    microseconds: [],
  });
}

const load = startLoad<LoadOrder>('./load.ts');
try {
  await measure(targets, plan, send);
  for (const target of targets) target.does = `${Math.round(residentBytes(target.child) / 1e6)} MB`;
  writeSection('Many tokens and many revocations', reportOf());
} finally {
  load.stop();
  for (const { child } of targets) child.kill();
}

/** An id as auth makes them. */
function newId(): string {
  return randomBytes(32).toString('base64url');
}

async function untilReady({ port }: Child): Promise<void> {
  for (;;) {
    const { ok } = await fetch(`http://127.0.0.1:${port}/health/ready`);
    if (ok) return;
  }
}

async function send(target: Target, requests: number): Promise<void> {
  const { port, tokens, asked } = target;
  target.asked += requests;
  const next = Array.from(
    { length: Math.min(requests, tokens.length) },
    (_, i) => tokens[(asked + i) % tokens.length] ?? '',
  );
  await load.send({
    url: `http://127.0.0.1:${port}`,
    path: '/items/5f0c6f0e',
    host: new URL(stage.issuer.issuer).host,
    tokens: next,
    connections,
    requests,
  });
}

function reportOf(): string {
  const { rounds, measuredRequests } = plan;
  return `The gateway with everything on, as in the section above, when that many tokens of as many callers are in use and that many tokens
are on the denylist: CPU microseconds per request, ${rounds} rounds of ${measuredRequests.toLocaleString('en')} in which every token comes as often as any other, and its
resident memory after them. TOKEN_CACHE_SIZE is ${tokenCacheSize.toLocaleString('en')}: with its default of 20,000 nearly every token of
many would be verified anew each time. Node runs with \`${nodeOptions.join(' ')}\` and MALLOC_ARENA_MAX=2, as in the image. The aims were 300 MB, and no more time for many than for few.

${tableOf('in use', targets).replace('| does |', '| memory |')}

What a run finds for the memory differs by some 20 MB, with the moment of the last full collection. What paid: revocations in one array of
numbers, 42 MB for a million, where a Map of texts took 96, all of which V8 walked over with each full collection (with it many took 171,
few 146); MALLOC_ARENA_MAX, some 30 MB of many; what strips the explorer's types loaded when somebody explores, 12 MB; and
nothing of a database loaded by a gateway, 14 MB.

${measuredOn(['undici', 'ioredis'])}
Run it with \`npm run bench -- scale\`; it needs Linux and redis-server.`;
}
