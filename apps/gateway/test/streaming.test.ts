import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { publicHost, startTestGateway } from './start-gateway.ts';

const chunk = Buffer.alloc(64 * 1024, 'gatehouse');
const chunks = 800;
const size = chunks * chunk.length;
const digest = createHash('sha256');
for (let i = 0; i < chunks; i++) digest.update(chunk);
const expected = digest.digest('hex');

// Client, gateway and upstream share this process, so this bounds all three; the kernel's buffers are not in it.
const heldLimit = 10 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

// Memory is given back some time after it was collected, so the lowest of a few counts is the true one.
async function heldBytes(): Promise<number> {
  const counts: number[] = [];
  for (let i = 0; i < 4; i++) {
    collectGarbage();
    await delay(60);
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    counts.push(heapUsed + arrayBuffers);
  }
  return Math.min(...counts);
}

/** Reads to the end with a stall every 10 MB, and tells the digest and how many bytes were held at most. */
async function readSlowly(body: Readable): Promise<{ sha256: string; held: number }> {
  const before = await heldBytes();
  await delay(300);
  let held = (await heldBytes()) - before;
  const hash = createHash('sha256');
  let read = 0;
  let nextStall = 10_000_000;
  for await (const part of body) {
    hash.update(part);
    read += part.length;
    if (read < nextStall) continue;
    nextStall += 10_000_000;
    held = Math.max(held, (await heldBytes()) - before);
  }
  return { sha256: hash.digest('hex'), held };
}

const framings = {
  'Content-Length': { 'content-length': String(size) },
  chunked: { 'transfer-encoding': 'chunked' },
};

for (const [framing, headers] of Object.entries(framings)) {
  test(`a ${framing} answer of 50 MB reaches a client that stalls, in flat memory`, async (t) => {
    const gateway = await startTestGateway(t, {
      answer: (_req, res) => {
        res.writeHead(200, headers);
        Readable.from(repeat()).pipe(res);
      },
    });
    const req = request({
      port: gateway.port,
      path: '/token',
      headers: { host: publicHost },
      agent: false,
    }).end();
    const [res] = (await once(req, 'response')) as [IncomingMessage];
    assert.equal(res.headers['content-length'], headers['content-length' as never]);
    const { sha256, held } = await readSlowly(res);
    assert.equal(sha256, expected);
    assert.ok(held < heldLimit, `held ${held} bytes`);
  });

  test(`a ${framing} request body of 50 MB reaches an upstream that stalls, in flat memory`, async (t) => {
    const arrived = Promise.withResolvers<{ sha256: string; held: number; headers: object }>();
    const gateway = await startTestGateway(t, {
      answer: async (req, res) => {
        arrived.resolve({ ...(await readSlowly(req)), headers: req.headers });
        res.end('taken');
      },
    });
    const req = request({
      port: gateway.port,
      path: '/token',
      method: 'POST',
      headers: { host: publicHost, ...headers },
      agent: false,
    });
    Readable.from(repeat()).pipe(req);
    const [res] = (await once(req, 'response')) as [IncomingMessage];
    assert.equal(res.statusCode, 200);
    const { sha256, held, headers: received } = await arrived.promise;
    assert.equal(sha256, expected);
    assert.ok(held < heldLimit, `held ${held} bytes`);
    for (const [name, value] of Object.entries(headers)) assert.equal(received[name as never], value);
  });
}

function* repeat(): Generator<Buffer> {
  // A copy each time: what is held shows in the figures.
  for (let i = 0; i < chunks; i++) yield Buffer.from(chunk);
}
