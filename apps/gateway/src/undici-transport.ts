import { AsyncResource } from 'node:async_hooks';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { PassThrough } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { noteNextHop } from '@gatehouse/auth-middleware';
import { exchangeOutcome, failureOf, openRequestSpan, type Span } from '@gatehouse/service-kit/core';
import type { Plugin } from 'http-proxy-middleware';
import type { Dispatcher, Pool } from 'undici';
import type { Admission, Breaker } from './breaker.ts';
import { headersForUpstream, passOnHeaders } from './passed-headers.ts';
import type { Place, Places } from './places.ts';
import { bodyFor, collect } from './request-body.ts';
import type { RetryBudget } from './retry-budget.ts';
import { TransportError } from './transport-error.ts';

export interface TransportLimits {
  keepsCookies: boolean;
  breaker: Breaker;
  retries: RetryBudget;
  /** Told how long an upstream took to begin its answer, the wait for a connection included. */
  onAnswer: (res: ServerResponse, milliseconds: number) => void;
  /** What an answer has already, names in lower case; the upstream's are added. */
  headersOf: (res: ServerResponse) => OutgoingHttpHeaders;
  /** From the request to the last byte of the answer, waiting for a connection included, in milliseconds. */
  totalTimeoutMs: number;
  /** How long a request may wait for a connection, in milliseconds. */
  waitTimeoutMs: number;
  /** Where there is no room, a request fails at once. */
  places: Places;
}

type Fail = (error: Error) => void;

/**
 * Makes http-proxy-middleware carry requests through `pool` instead of node:http. The upstream is asked once the
 * client's body is there, or 64 KiB of it; bodies stream with backpressure both ways, and a client that leaves cancels
 * the upstream request. Every failure goes to `on.error`; where the answer has begun, the client has been reset by
 * then, so that a truncated answer never looks whole.
 */
export function undiciTransport(pool: Pool, limits: TransportLimits): Plugin {
  return (proxyServer) => {
    // httpxy's passes have no names; before() takes the last one, which is its own transport.
    proxyServer.before('web', '', (req, res, { target }, _server, _head, callback) => {
      const incoming = req as IncomingMessage;
      const outgoing = res as ServerResponse;
      // Who left while the token was verified has closed already, and would never be seen to leave.
      if (outgoing.destroyed) return true;
      const fail: Fail = (error) => callback?.(error, incoming, outgoing);
      new Exchange(pool, limits, target as URL, incoming, outgoing, fail).start();
      return true;
    });
  };
}

const brokenConnection = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** One request on its way through: the handler that undici calls, and the client's end. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #pool: Pool;
  readonly #limits: TransportLimits;
  readonly #target: URL;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #fail: Fail;
  readonly #request: Dispatcher.DispatchOptions & { body: PassThrough | null };
  readonly #deadline: NodeJS.Timeout;
  #span: Span | undefined;
  #status: number | undefined;
  #askedAt = 0;
  #place: Place | undefined;
  #isStreaming = false;
  #waiting: NodeJS.Timeout | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #contentLength = -1;
  #wholeBody: string | undefined;
  #isOver = false;
  #retried = false;
  /** Until the breaker has been told whether the upstream was well. */
  #admission: Admission | undefined;

  constructor(
    pool: Pool,
    limits: TransportLimits,
    target: URL,
    req: IncomingMessage,
    res: ServerResponse,
    fail: Fail,
  ) {
    this.#pool = pool;
    this.#limits = limits;
    this.#target = target;
    this.#req = req;
    this.#res = res;
    this.#fail = fail;
    this.#request = {
      // The proxy empties req.url before http-proxy-middleware sees it.
      path: (req as { originalUrl?: string }).originalUrl ?? req.url ?? '/',
      method: req.method ?? 'GET',
      body: bodyFor(req),
    };
    this.#deadline = setTimeout(expire, limits.totalTimeoutMs, this, 'DEADLINE');
    res.on('close', () => this.#leave());
  }

  start(): void {
    const { body } = this.#request;
    if (body === null) this.#send();
    // Its own context, in which a span finds what it is below, is not that of the body's events.
    else if (this.#moveTo('collecting'))
      collect(
        this.#req,
        body,
        AsyncResource.bind(() => this.#send()),
      );
  }

  /** Its time is up: the upstream was too slow, or never had a connection for it. */
  giveUp(error: TransportError): void {
    if (this.#controller) this.#controller.abort(error);
    else this.onResponseError(undefined, error);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    clearTimeout(this.#waiting);
    // Thrown, it costs the request and not the connection that it has waited for.
    if (this.#isOver) throw new Error('nobody waits for the answer');
    this.#controller = controller;
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    if (isCoded(headers['transfer-encoding'])) {
      controller.abort(new TransportError('CODED'));
      return;
    }
    const head = this.#limits.headersOf(this.#res);
    passOnHeaders(headers, head, this.#res);
    // RFC 9110, 8.6
    if (status === 204) delete head['content-length'];
    noteNextHop(this.#req, 'upstream', status, headers['server-timing']);
    this.#status = status;
    this.#limits.onAnswer(this.#res, performance.now() - this.#askedAt);
    // The others wait for what this one finds out, however long its body is.
    if (this.#admission?.isProbe) this.#tell(true);
    this.#contentLength = Number(headers['content-length'] ?? -1);
    this.#res.writeHead(status, head);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (chunk.length === this.#contentLength) {
      this.#wholeBody = chunk.toString('latin1');
      return;
    }
    if (this.#res.write(chunk)) return;
    // How long the rest takes is the client's doing.
    this.#tell(true);
    controller.pause();
    this.#res.once('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    this.#settle(undefined, true);
    this.#limits.retries.earn();
    // A short answer that came in one piece leaves in one piece: as text, node:http joins it with the head.
    if (this.#wholeBody === undefined) this.#res.end();
    else this.#res.end(this.#wholeBody, 'latin1');
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.#isOver) return;
    if (this.#mayRetry(error)) {
      this.#retried = true;
      this.#dispatch();
      return;
    }
    const isUnasked = error instanceof TransportError && error.isUnasked;
    // Who answers before the body is there, or waits for it, may be well.
    const isClients = this.#controller !== undefined && this.#request.body?.readableEnded === false;
    this.#settle(failureOf(error), isUnasked || isClients ? undefined : false);
    if (this.#res.headersSent) cut(this.#req.socket);
    this.#fail(error);
  }

  // An upstream may close a connection that it kept alive just when we use it. What only reads can be asked again.
  #mayRetry(error: Error & { code?: string }): boolean {
    const { method, body } = this.#request;
    const isSafe = (method === 'GET' || method === 'HEAD') && body === null && !this.#res.headersSent;
    if (!isSafe || this.#retried || !brokenConnection.has(error.code ?? '')) return false;
    return this.#limits.retries.spend();
  }

  #send(): void {
    if (this.#isOver || !this.#moveTo('inFlight')) return;
    const { path, method, body } = this.#request;
    if (body !== null && !this.#req.complete) {
      if (!this.#stream(true)) return;
      this.#req.once('end', () => this.#stream(false));
    }
    this.#span = openRequestSpan(method, path, this.#target);
    if (this.#span) this.#req.headers.traceparent = this.#span.traceparent;
    this.#askedAt = performance.now();
    this.#request.headers = headersForUpstream(this.#req, this.#limits);
    const { breaker } = this.#limits;
    // The others would wait for a body that may never come.
    const mayFindOut = !this.#isStreaming || breaker.state() === 'closed';
    if (mayFindOut) this.#admission = breaker.admit();
    if (this.#admission) this.#dispatch();
    else this.onResponseError(undefined, new TransportError('BROKEN'));
  }

  #dispatch(): void {
    this.#controller = undefined;
    this.#pool.dispatch(this.#request, this);
    // A free connection has taken it by now.
    if (this.#controller || this.#isOver) return;
    this.#waiting = setTimeout(expire, this.#limits.waitTimeoutMs, this, 'OVERLOADED');
  }

  #take(place: Place): boolean {
    const hasRoom = this.#limits.places.take(place);
    if (!hasRoom) this.onResponseError(undefined, new TransportError('OVERLOADED'));
    return hasRoom;
  }

  #moveTo(place: Exclude<Place, 'streaming'> | undefined): boolean {
    if (this.#place) this.#limits.places.leave(this.#place);
    this.#place = undefined;
    if (place === undefined || !this.#take(place)) return false;
    this.#place = place;
    return true;
  }

  #stream(isStreaming: boolean): boolean {
    if (this.#isStreaming) this.#limits.places.leave('streaming');
    this.#isStreaming = isStreaming && this.#take('streaming');
    return this.#isStreaming;
  }

  #settle(failure?: string, isWell?: boolean): void {
    this.#isOver = true;
    this.#tell(isWell);
    this.#span?.end(exchangeOutcome(this.#status, 400, failure));
    this.#span = undefined;
    this.#moveTo(undefined);
    this.#stream(false);
    clearTimeout(this.#deadline);
    clearTimeout(this.#waiting);
  }

  #tell(isWell: boolean | undefined): void {
    this.#admission?.tell(isWell);
    this.#admission = undefined;
  }

  #leave(): void {
    this.#settle('client left');
    if (!this.#res.writableFinished) this.#controller?.abort(new Error('the client has left'));
    // What is left of the body must not stand before the next request on the connection.
    if (this.#request.body) this.#req.unpipe().resume();
  }
}

/** Closes the connection of a client in the middle of an answer, so that what it has got never looks whole. */
function cut(socket: Socket): void {
  // A TLS connection cannot be reset by its socket; without the alert that closes it (RFC 9112, 9.8), its end is none.
  if (socket instanceof TLSSocket) socket.destroy();
  else socket.resetAndDestroy();
}

function expire(exchange: Exchange, code: TransportError['code']): void {
  exchange.giveUp(new TransportError(code));
}

// A coding beside chunked would be taken off here, and nobody told of it.
function isCoded(transferEncoding: string | string[] | undefined): boolean {
  return transferEncoding !== undefined && String(transferEncoding).toLowerCase() !== 'chunked';
}
