import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { counterIn, type Logger, type Metrics, Problem, problemBody } from '@gatehouse/service-kit';
import { clientNetworkOf } from './client-address.ts';
import { mostWithOne } from './proxy.ts';
import { type Importance, importanceOf, rowOf, type UpstreamName } from './upstreams.ts';

/**
 * What is refused first: the part of the process's capacity that must be taken before requests of this importance are.
 * Capacity is taken by requests in flight, and by an event loop that is late.
 */
const shedAbove: Record<Importance, number> = { docs: 0.5, reads: 0.7, writes: 0.85, vital: 1 };
// Slow requests from one network leave room for everybody else's.
const mostOfOneNetwork = 0.4;

interface Network {
  inFlight: number;
}

const networkKey = Symbol('network');
type Counted = ServerResponse & { [networkKey]?: Network };

const lookEveryMs = 50;
const quietMs = 1_000;

export interface Overload {
  /** Lets `app` answer what there is room for, and health checks always; the rest is 503 with Retry-After at once. */
  guard(app: RequestListener): RequestListener;
  close(): void;
}

/**
 * Watches how much of its capacity this process uses.
 * @param maxInFlight requests that are not yet answered
 * @param maxLoopDelayMs how late the event loop may be
 * @param isFull whether an upstream has as many requests as it may have
 */
export function createOverload(
  { maxInFlight, maxLoopDelayMs }: { maxInFlight: number; maxLoopDelayMs: number },
  {
    isFull,
    logger,
    metrics,
  }: { isFull: (upstream: UpstreamName) => boolean; logger: Logger; metrics: Metrics },
): Overload {
  const sheds = counterIn(metrics.registry, {
    name: 'shed_total',
    help: 'Requests refused because the process was overloaded',
    labelNames: ['reason', 'importance'],
  });
  const networks = new Map<string, Network>();
  const mostInFlightOfOne = Math.ceil(maxInFlight * mostOfOneNetwork);
  let inFlight = 0;
  let loopDelayMs = 0;
  let lookedAt = performance.now();
  let shedAt: number | undefined;
  let isShedding = false;

  // Timers come before new input: after a stall, the requests that waited behind it find the delay known.
  const look = setInterval(() => {
    const now = performance.now();
    loopDelayMs = now - lookedAt - lookEveryMs;
    lookedAt = now;
    const sheddingNow = shedAt !== undefined && now - shedAt < quietMs;
    if (sheddingNow && !isShedding)
      logger.warn({ inFlight, loopDelayMs }, 'overloaded, requests are refused');
    if (!sheddingNow && isShedding) logger.info('no longer overloaded');
    isShedding = sheddingNow;
    for (const [name, network] of networks) if (network.inFlight === 0) networks.delete(name);
  }, lookEveryMs).unref();

  function reasonToShed(url: string, importance: () => Importance): string | undefined {
    if (inFlight >= mostWithOne) {
      const row = rowOf(url);
      if (row && isFull(row.to)) return 'one upstream';
    }
    const busy = inFlight / maxInFlight;
    const late = loopDelayMs / maxLoopDelayMs;
    if (busy < shedAbove.docs && late < shedAbove.docs) return undefined;
    const bound = shedAbove[importance()];
    if (busy >= bound) return 'in flight';
    return late >= bound ? 'loop delay' : undefined;
  }

  function networkOf(req: IncomingMessage): Network {
    const name = clientNetworkOf(req);
    const known = networks.get(name);
    if (known) return known;
    const network = { inFlight: 0 };
    networks.set(name, network);
    return network;
  }

  function leave(this: Counted): void {
    inFlight--;
    (this[networkKey] as Network).inFlight--;
  }

  return {
    guard: (app) => (req, res) => {
      const url = req.url ?? '';
      if (url.startsWith('/health/')) return app(req, res);
      const importance = () => importanceOf(req.method ?? '', url);
      const network = networkOf(req);
      const reason = network.inFlight < mostInFlightOfOne ? reasonToShed(url, importance) : 'one network';
      if (reason === undefined) {
        inFlight++;
        network.inFlight++;
        (res as Counted)[networkKey] = network;
        res.on('close', leave);
        return app(req, res);
      }
      shedAt = performance.now();
      sheds.inc({ reason, importance: importance() });
      refuse(req, res);
    },
    close: () => clearInterval(look),
  };
}

// Made once, as an error brings its stack along.
const tooMuch = new Problem(503, 'There is too much to do; try again soon');

// Ahead of the app and without its log line: what is refused must cost next to nothing.
function refuse(req: IncomingMessage, res: ServerResponse): void {
  const body = problemBody(tooMuch, req.url, undefined);
  res
    .writeHead(503, {
      'Content-Type': 'application/problem+json',
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'Retry-After': '1',
    })
    .end(body);
}
