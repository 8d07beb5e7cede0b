import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import {
  counterIn,
  histogramIn,
  isHealthCheck,
  type Logger,
  type Metrics,
  Problem,
  problemBody,
} from '@gatehouse/service-kit/core';
import { clientNetworkOf } from './client-address.ts';
import { mostWithOne } from './proxy.ts';
import { type Importance, importanceOf, rowOf, type UpstreamName } from './upstreams.ts';
import { createWaitingRoom, type Waiting } from './waiting-room.ts';

/**
 * The part of the process's capacity that must be taken before there is no room for requests of this importance: by
 * requests in flight, behind which they wait, or by an event loop that is late, behind which they have waited.
 */
const noRoomAbove: Record<Importance, number> = { docs: 0.5, reads: 0.7, writes: 0.85, vital: 1 };
// Slow requests from one network leave room for everybody else's, here and with each upstream.
const mostOfOneNetwork = 0.4;
/**
 * How many are let in before the event loop goes round once more. It accepts a single connection in a turn: turns must
 * be short when many wait, as many more may want to connect.
 */
const mostInOneTurn = { calm: 16, crowded: 8 };

interface Network {
  readonly name: string;
  inFlight: number;
  waiting: number;
}

interface Held extends Waiting {
  readonly network: Network;
  readonly app: RequestListener;
  readonly req: IncomingMessage;
  readonly res: Counted;
}

const networkKey = Symbol('network');
const heldKey = Symbol('held');
type Counted = ServerResponse<IncomingMessage> & {
  req: IncomingMessage;
  [networkKey]?: Network;
  [heldKey]?: Held;
  locals?: { waitedMs: number };
};

type ReasonToWait = 'one upstream' | 'one network' | 'in flight' | 'event loop';
type ReasonToShed = ReasonToWait | 'loop delay' | 'waiting';

const lookEveryMs = 50;
const quietMs = 1_000;

export interface Overload {
  /**
   * Lets `app` answer what there is room for, and health checks always. The rest waits for room, what matters most
   * before the others, and is 503 with Retry-After where there is none in time.
   */
  guard(app: RequestListener): RequestListener;
  close(): void;
}

export interface OverloadLimits {
  /** Requests that are let in and not yet answered. */
  maxInFlight: number;
  /** Requests that wait to be let in. */
  maxWaiting: number;
  /** How long each of them does, in milliseconds. */
  maxWaitMs: number;
  /** How late the event loop may be, in milliseconds. */
  maxLoopDelayMs: number;
}

/**
 * Watches how much of its capacity this process uses.
 * @param isFull whether an upstream has as many requests as it may have
 */
export function createOverload(
  { maxInFlight, maxWaiting, maxWaitMs, maxLoopDelayMs }: OverloadLimits,
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
  const waits = histogramIn(metrics.registry, {
    name: 'wait_duration_seconds',
    help: 'How long requests waited for room, of those that had to',
    labelNames: ['importance'],
  });
  const waitsOf = {
    docs: waits.labels('docs'),
    reads: waits.labels('reads'),
    writes: waits.labels('writes'),
    vital: waits.labels('vital'),
  };
  const mostInFlightOfOne = mostOfOneNetwork * Math.min(maxInFlight, mostWithOne);
  const networks = new Map<string, Network>();
  const room = createWaitingRoom<Held>();
  let inFlight = 0;
  let inThisTurn = 0;
  let isTurnAwaited = false;
  let loopDelayMs = 0;
  let lookedAt = performance.now();
  let shedAt: number | undefined;
  let isShedding = false;

  // Timers come before new input: after a stall, the requests that waited behind it find the delay known.
  const look = setInterval(() => {
    const now = performance.now();
    loopDelayMs = now - lookedAt - lookEveryMs;
    lookedAt = now;
    for (const held of room.takeOlder(now - maxWaitMs)) {
      leaveRoom.call(held.res);
      shed(held, reasonToWait(held) ?? 'event loop');
    }
    const sheddingNow = shedAt !== undefined && now - shedAt < quietMs;
    if (sheddingNow && !isShedding)
      logger.warn({ inFlight, waiting: room.size, loopDelayMs }, 'overloaded, requests are refused');
    if (!sheddingNow && isShedding) logger.info('no longer overloaded');
    isShedding = sheddingNow;
    for (const [name, { inFlight, waiting }] of networks) if (inFlight + waiting === 0) networks.delete(name);
  }, lookEveryMs).unref();

  function reasonToWait({
    importance,
    to,
    network,
  }: Pick<Held, 'importance' | 'to' | 'network'>): ReasonToWait | undefined {
    if (network.inFlight >= mostInFlightOfOne) return 'one network';
    if (inFlight >= maxInFlight * noRoomAbove[importance]) return 'in flight';
    return to !== undefined && isFull(to) ? 'one upstream' : undefined;
  }

  function networkOf(req: IncomingMessage): Network {
    const name = clientNetworkOf(req);
    const known = networks.get(name);
    if (known) return known;
    const network = { name, inFlight: 0, waiting: 0 };
    networks.set(name, network);
    return network;
  }

  function letIn(app: RequestListener, req: IncomingMessage, res: Counted, network: Network): void {
    inThisTurn++;
    awaitTurn();
    inFlight++;
    network.inFlight++;
    res[networkKey] = network;
    res.on('close', leave);
    app(req, res);
  }

  function leave(this: Counted): void {
    inFlight--;
    (this[networkKey] as Network).inFlight--;
    if (room.size > 0) awaitTurn();
  }

  function hold(held: Held): void {
    room.add(held);
    held.network.waiting++;
    held.res[heldKey] = held;
    held.res.on('close', leaveRoom);
    awaitTurn();
  }

  function leaveRoom(this: Counted): void {
    const held = this[heldKey] as Held;
    room.delete(held);
    held.network.waiting--;
    this.off('close', leaveRoom);
    const waitedMs = performance.now() - held.since;
    waitsOf[held.importance].observe(waitedMs / 1_000);
    // Express goes on with what it finds here, and the log line tells it.
    this.locals = { waitedMs: Math.round(waitedMs * 100) / 100 };
  }

  function awaitTurn(): void {
    if (isTurnAwaited) return;
    isTurnAwaited = true;
    setImmediate(beginTurn);
  }

  function beginTurn(): void {
    isTurnAwaited = false;
    inThisTurn = 0;
    if (room.size === 0) return;
    for (const held of room.takeWhere((next) => reasonToWait(next) === undefined)) {
      leaveRoom.call(held.res);
      letIn(held.app, held.req, held.res, held.network);
      if (inThisTurn >= mostInOneTurn.crowded) break;
    }
  }

  function shed(
    { req, res, importance }: Pick<Held, 'req' | 'res' | 'importance'>,
    reason: ReasonToShed,
  ): void {
    shedAt = performance.now();
    sheds.inc({ reason, importance });
    refuse(req, res);
  }

  return {
    guard: (app) => (req, res: Counted) => {
      const url = req.url ?? '';
      if (isHealthCheck(url)) return app(req, res);
      const network = networkOf(req);
      const late = loopDelayMs / maxLoopDelayMs;
      const isFirst = room.size === 0 && inThisTurn < mostInOneTurn.calm;
      const isCalm = late < noRoomAbove.docs && inFlight < mostInFlightOfOne;
      if (isFirst && isCalm) return letIn(app, req, res, network);

      const importance = importanceOf(req.method ?? '', url);
      const to = rowOf(url)?.to;
      if (late >= noRoomAbove[importance]) return shed({ req, res, importance }, 'loop delay');
      if (isFirst && reasonToWait({ importance, to, network }) === undefined)
        return letIn(app, req, res, network);
      if (room.size >= maxWaiting || network.waiting >= maxWaiting * mostOfOneNetwork)
        return shed({ req, res, importance }, 'waiting');
      hold({ importance, to, network, since: performance.now(), app, req, res });
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
