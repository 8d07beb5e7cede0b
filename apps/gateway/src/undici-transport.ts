import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import type { Plugin } from 'http-proxy-middleware';
import type { Dispatcher, Pool } from 'undici';

/** The transport itself gave up, not the upstream. */
export class TransportError extends Error {
  override name = 'TransportError';
  readonly code: 'DEADLINE' | 'OVERLOADED';
  constructor(code: 'DEADLINE' | 'OVERLOADED') {
    super(code === 'DEADLINE' ? 'the whole exchange took too long' : 'too many requests are under way');
    this.code = code;
  }
}

export interface TransportLimits {
  keepsCookies: boolean;
  /** From the request to the last byte of the answer, waiting for a connection included, in milliseconds. */
  totalTimeoutMs: number;
  /** Requests under way at once, waiting ones included; the next one fails at once. */
  maxInFlight: number;
}

type Fail = (error: Error) => void;

/**
 * Makes http-proxy-middleware carry requests through `pool` instead of node:http. Bodies stream with backpressure both
 * ways, a client that leaves cancels the upstream request, and an upstream that dies in the middle of a body resets
 * the client, so that a truncated answer never looks whole. Failures before the answer has begun go to `on.error`.
 */
export function undiciTransport(pool: Pool, limits: TransportLimits): Plugin {
  const load = { inFlight: 0 };
  return (proxyServer) => {
    // httpxy's passes have no names; before() takes the last one, which is its own transport.
    proxyServer.before('web', '', (req, res, _options, _server, _head, callback) => {
      const incoming = req as IncomingMessage;
      const outgoing = res as ServerResponse;
      const fail: Fail = (error) => callback?.(error, incoming, outgoing);
      if (load.inFlight >= limits.maxInFlight) fail(new TransportError('OVERLOADED'));
      else new Exchange(pool, limits, load, incoming, outgoing, fail).send();
      return true;
    });
  };
}

// RFC 9110, 7.6.1 and the old Proxy-Connection: these speak of one hop, and undici writes its own.
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const keptFromUpstream = new Set([...hopByHop, 'host', 'expect']);
// The request has its id from the gateway already.
const keptFromClient = new Set([...hopByHop, 'server', 'x-powered-by', 'x-request-id']);

const brokenConnection = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** One request on its way through: the handler that undici calls, and the client's end. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #pool: Pool;
  readonly #load: { inFlight: number };
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #fail: Fail;
  readonly #request: Dispatcher.DispatchOptions;
  readonly #deadline: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | undefined;
  #contentLength = -1;
  #wholeBody: string | undefined;
  #isOver = false;
  #retried = false;

  constructor(
    pool: Pool,
    limits: TransportLimits,
    load: { inFlight: number },
    req: IncomingMessage,
    res: ServerResponse,
    fail: Fail,
  ) {
    this.#pool = pool;
    this.#load = load;
    this.#req = req;
    this.#res = res;
    this.#fail = fail;
    this.#request = {
      // Express strips the mount path from req.url.
      path: (req as { originalUrl?: string }).originalUrl ?? req.url ?? '/',
      method: req.method ?? 'GET',
      headers: requestHeaders(req, limits),
      // undici destroys the body that it is given; the client's request must outlive it.
      body: hasBody(req) ? req.pipe(new PassThrough()) : null,
    };
    this.#deadline = setTimeout(onDeadline, limits.totalTimeoutMs, this);
    load.inFlight++;
    res.once('close', () => this.#leave());
  }

  send(): void {
    this.#pool.dispatch(this.#request, this);
  }

  /** The deadline has passed. */
  expire(): void {
    const error = new TransportError('DEADLINE');
    if (this.#controller) this.#controller.abort(error);
    else this.onResponseError(undefined, error);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It waited for a connection, and meanwhile the client left or the deadline passed.
    if (this.#isOver) controller.abort(new Error('nobody waits for the answer'));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    const named = namedInConnection(headers.connection);
    for (const name in headers) {
      const value = headers[name];
      if (value !== undefined && !keptFromClient.has(name) && !named?.has(name))
        this.#res.setHeader(name, value);
    }
    this.#contentLength = Number(headers['content-length'] ?? -1);
    this.#res.writeHead(status);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (chunk.length === this.#contentLength) {
      this.#wholeBody = chunk.toString('latin1');
      return;
    }
    if (this.#res.write(chunk)) return;
    controller.pause();
    this.#res.once('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    // A short answer that came in one piece leaves in one piece: as text, node:http joins it with the head.
    if (this.#wholeBody === undefined) this.#res.end();
    else this.#res.end(this.#wholeBody, 'latin1');
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.#isOver) return;
    if (this.#res.headersSent) {
      this.#req.socket.resetAndDestroy();
    } else if (this.#mayRetry(error)) {
      this.#retried = true;
      this.#controller = undefined;
      this.send();
    } else {
      this.#isOver = true;
      this.#fail(error);
    }
  }

  // An upstream may close a connection that it kept alive just when we use it. What only reads can be asked again.
  #mayRetry(error: Error & { code?: string }): boolean {
    const { method, body } = this.#request;
    const isSafe = (method === 'GET' || method === 'HEAD') && body === null;
    return isSafe && !this.#retried && brokenConnection.has(error.code ?? '');
  }

  #leave(): void {
    this.#load.inFlight--;
    clearTimeout(this.#deadline);
    this.#isOver = true;
    if (!this.#res.writableFinished) this.#controller?.abort(new Error('the client has left'));
  }
}

function onDeadline(exchange: Exchange): void {
  exchange.expire();
}

function requestHeaders(req: IncomingMessage, { keepsCookies }: TransportLimits): string[] {
  const headers: string[] = [];
  for (const name in req.headers) {
    if (keptFromUpstream.has(name) || (name === 'cookie' && !keepsCookies)) continue;
    headers.push(name, req.headers[name] as string);
  }
  return headers;
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function namedInConnection(connection: string | string[] | undefined): Set<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined;
  return new Set(
    String(connection)
      .toLowerCase()
      .split(/\s*,\s*/),
  );
}
