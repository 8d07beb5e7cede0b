import { type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createMemoryDenylist } from '@gatehouse/denylist';
import { createLogger, createMetrics, type Metrics } from '@gatehouse/service-kit/core';
import { createTestIssuer, listenApp, type TestIssuer } from '@gatehouse/test-kit';
import { urlVariableOf } from '../src/config.ts';
import { GatewayConfigSchema, startGateway } from '../src/start.ts';
import { upstreams } from '../src/upstreams.ts';

export const publicHost = 'localhost:8080';

/** One request as an upstream received it, headers with their repetitions. */
export interface Received {
  upstream: string;
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  rawHeaders: string[];
  trailers: IncomingHttpHeaders;
  body: string;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  rawHeaders: string[];
  text: string;
  /** The body when it is JSON. */
  json: Record<string, unknown>;
}

export interface TestGateway {
  port: number;
  url: string;
  issuer: TestIssuer;
  denylist: ReturnType<typeof createMemoryDenylist>;
  /** What reached the upstreams, in order. */
  received: Received[];
  log: string[];
  metrics: Metrics;
  send(
    path: string,
    options?: { method?: string; headers?: Record<string, string | string[]>; body?: string },
  ): Promise<Answer>;
  /** Authorization with a valid token of alice. */
  bearer(claims?: Record<string, unknown>): Promise<string>;
  /** Ends the gateway alone, as a signal does. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The whole gateway on a free port, with a real issuer and a complete denylist in memory, in front of real servers
 * that say who they are.
 * @param answer what every upstream answers instead
 * @param upstreamUrl where all upstreams are instead
 * @param keys false where the issuer's keys cannot be had
 * @param redisUrl where ids of used proofs are, instead of in memory
 * @param issuer one that several gateways share
 * @param env variables besides the usual ones
 */
export async function startTestGateway(
  t: TestContext,
  {
    answer,
    upstreamUrl,
    keys = true,
    redisUrl,
    issuer: given,
    env = {},
  }: {
    answer?: (req: IncomingMessage, res: ServerResponse, upstream: string) => unknown;
    upstreamUrl?: string;
    keys?: boolean;
    redisUrl?: string;
    issuer?: TestIssuer;
    env?: Record<string, string>;
  } = {},
): Promise<TestGateway> {
  const received: Received[] = [];
  const names = Object.keys(upstreams);
  const servers = await Promise.all(
    names.map((upstream) =>
      listenApp((req, res) => {
        if (answer) return answer(req, res, upstream);
        record(upstream, req, received, () => {
          res.setHeader('content-type', 'application/json').end(JSON.stringify({ from: upstream }));
        });
      }),
    ),
  );
  const issuer = given ?? (await createTestIssuer());
  if (!keys) issuer.jwks.answer = (res) => res.writeHead(500).end();
  const denylist = createMemoryDenylist();
  await denylist.markComplete();
  const log: string[] = [];
  const metrics = createMetrics('gateway');
  const gateway = await startGateway(
    GatewayConfigSchema.parse({
      PORT: '0',
      ISSUER: issuer.issuer,
      JWKS_URI: issuer.jwksUri,
      REDIS_URL: redisUrl,
      // What stalls a busy machine is no overload.
      MAX_LOOP_DELAY_MS: '60000',
      MAX_BODY_BYTES: '100000000',
      ...env,
      ...Object.fromEntries(names.map((name, i) => [urlVariableOf(name), upstreamUrl ?? servers[i]?.url])),
    }),
    {
      denylist,
      metrics,
      logger: createLogger({ name: 'gateway', level: 'info' }, { write: (line) => void log.push(line) }),
    },
  );
  const close = async () => {
    await Promise.all(servers.map((server) => server.close()));
    await gateway.close();
    await issuer.close();
    await denylist.close();
  };
  t.after(close);
  const { port } = gateway.listener;
  return {
    port,
    url: gateway.listener.url,
    issuer,
    denylist,
    received,
    log,
    metrics,
    send: (path, options) => send(port, path, options),
    bearer: async (claims) => `Bearer ${await issuer.sign(claims)}`,
    stop: () => gateway.close(),
    close,
  };
}

function record(upstream: string, req: IncomingMessage, received: Received[], done: () => void): void {
  const chunks: Buffer[] = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => {
    received.push({
      upstream,
      method: req.method ?? '',
      url: req.url ?? '',
      headers: req.headers,
      rawHeaders: req.rawHeaders,
      trailers: req.trailers,
      body: Buffer.concat(chunks).toString(),
    });
    done();
  });
}

/** A request with the public host; `headers` may replace it. */
export function send(
  port: number,
  path: string,
  {
    method = 'GET',
    headers = {},
    body,
  }: { method?: string; headers?: Record<string, string | string[]>; body?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      path,
      method,
      agent: false,
      headers: { host: publicHost, ...headers },
    };
    const req = request(options, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({
          status: res.statusCode ?? 0,
          headers: res.headers,
          rawHeaders: res.rawHeaders,
          text,
          json: text.startsWith('{') ? JSON.parse(text) : {},
        });
      });
    });
    req.on('error', reject);
    req.end(body);
  });
}

/** A raw connection for more than one exchange. */
export function openSocket(t: TestContext, port: number) {
  let text = '';
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  socket.on('data', (chunk) => {
    text += chunk;
  });
  t.after(() => socket.destroy());
  return {
    write: (bytes: string) => void socket.write(bytes),
    destroy: () => void socket.destroy(),
    /** Resolves once the other side has said so, and forgets what was said until then. */
    async hears(pattern: RegExp): Promise<void> {
      await until(() => pattern.test(text), 5_000);
      text = '';
    },
  };
}

/** Resolves once `holds` is true; rejects after `withinMs`. */
export async function until(holds: () => boolean, withinMs: number): Promise<void> {
  const giveUpAt = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > giveUpAt) throw new Error(`still not so after ${withinMs} ms`);
    await delay(5);
  }
}
