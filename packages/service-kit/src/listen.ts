import { once } from 'node:events';
import {
  createServer,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import type { MessageClasses } from './express-messages.ts';
import type { Logger } from './log.ts';
import { Problem, problemBody } from './problem.ts';
import { noteAnswerBeneath } from './request-context.ts';
import { followCertificate, readCertificate, type TlsFiles } from './tls.ts';

export interface Listener {
  readonly server: Server;
  readonly url: string;
  readonly port: number;
  /** When the certificate in use expires, in epoch seconds, where it is served by HTTPS. */
  readonly certificateExpiresAt: (() => number) | undefined;
  /** Takes no new connection, lets requests in flight finish, and cuts what is left after `drainTimeoutMs`. */
  close(): Promise<void>;
}

const drainTimeoutMs = 8_000;
// Connections that wait to be accepted, as many as Linux allows: who finds no place among them tries again in a second.
const backlog = 4_096;

const limits = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  connectionsCheckingInterval: 1_000,
  // Longer than any caller keeps a connection unused, so that none is closed under a request on its way.
  keepAliveTimeout: 65_000,
  insecureHTTPParser: false,
};
// A drain cannot close a connection before its handshake is over, so this is shorter.
const handshake = { minVersion: 'TLSv1.2', handshakeTimeout: 5_000 } as const;

/**
 * Serves the app with every limit of node:http set.
 * @param port 0 takes a free one
 * @param tls the files of the certificate, where it is served by HTTPS
 * @param messages what requests and answers are made of, where that is not left to node:http
 * @param maxHeadBytes of a request; more than 16 KiB unless given, as a gateway takes that and adds to it
 * @param onRefusal told the status of each answer to what did not become a request, or not in time
 * @throws Error with one plain line when the address cannot be had
 * @throws ConfigError when there is something wrong with the certificate
 */
export async function listen(
  app: RequestListener,
  {
    host,
    port,
    tls,
    messages,
    maxHeadBytes = 20 * 1024,
    onRefusal = () => {},
  }: {
    host: string;
    port: number;
    tls?: { files: TlsFiles; logger: Logger } | undefined;
    messages?: MessageClasses | undefined;
    maxHeadBytes?: number | undefined;
    onRefusal?: (status: number) => void;
  },
): Promise<Listener> {
  keepGarbageYoung();
  const options = { ...limits, ...messages, maxHeaderSize: maxHeadBytes };
  const pair = tls && readCertificate(tls.files);
  const secure = pair && createTlsServer({ ...options, ...handshake, ...pair }, app);
  const server: Server = secure ?? createServer(options, app);
  server.maxConnections = 10_000;
  server.on('clientError', (error, socket) => answerClientError(error, socket as Socket, onRefusal));
  // node:http itself would refuse with a bare 417.
  server.on('checkExpectation', app);
  server.listen({ port, host, backlog });
  try {
    await once(server, 'listening');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'EADDRINUSE' ? 'is already in use' : `cannot be used (${code})`;
    throw new Error(`port ${port} on ${host} ${reason}`, { cause: error });
  }
  const address = server.address() as AddressInfo;
  const hostname = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    server,
    port: address.port,
    certificateExpiresAt: secure && tls && followCertificate(secure, tls.files, pair.cert, tls.logger),
    url: `${tls ? 'https' : 'http'}://${hostname}:${address.port}`,
    close: () => drain(server),
  };
}

/**
 * V8 comes to believe that arrays of listeners live long, and makes them among the old objects from then on. There the
 * array of a finished response is no garbage until the next full collection, and neither is what its listeners hold:
 * with 64 connections every request was copied to the old objects, for a fifth of its time.
 */
function keepGarbageYoung(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
}

async function drain(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const cut = setTimeout(() => server.closeAllConnections(), drainTimeoutMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(cut);
}

const clientErrorStatus: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

// What the parser refuses never becomes a request, so the answer is written to the socket itself.
function answerClientError(
  error: NodeJS.ErrnoException,
  socket: Socket,
  onRefusal: (status: number) => void,
): void {
  // What comes after the end is not heard, and must not keep it from being read.
  if (socket.writableEnded) return;
  // As node:http does itself: an answer that has begun must not get another one in its middle.
  const { _httpMessage: begun } = socket as Socket & { _httpMessage?: ServerResponse };
  const isOfParser = /^(HPE_|ERR_HTTP_)/.test(error.code ?? '');
  // Everything else is of a connection, or of a handshake, that has failed: nobody could read an answer.
  // What comes behind a whole request, which waits for its answer, would be taken for that.
  if (!isOfParser || !socket.writable || begun?.headersSent || begun?.req.complete) {
    socket.destroy();
    return;
  }
  const status = clientErrorStatus[error.code ?? ''] ?? 400;
  if (begun) noteAnswerBeneath(begun, status);
  onRefusal(status);
  endWithProblem(socket, new Problem(status));
}

const lingerMs = 2_000;

/**
 * Writes the last answer on a connection that node:http has let go of, and closes it when the client has had the time to
 * read it: closed at once, what the client still sends would reset it, and left open, it would be for ever.
 */
export function endWithProblem(socket: Socket, problem: Problem): void {
  const body = problemBody(problem, undefined, undefined);
  const headers = {
    'Content-Type': 'application/problem+json',
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...problem.headers,
    Connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n${lines.join('')}\r\n${body}`);
  // What is not read, the end of the connection included, would never be seen.
  socket.on('error', () => {}).resume();
  const cut = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(cut));
}
