import type { IncomingHttpHeaders, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { noteCheck } from '@gatehouse/auth-middleware';
import { endWithProblem, isHealthCheck, Problem } from '@gatehouse/service-kit/core';
import type { Request, RequestHandler } from 'express';
import { clientAddressOf } from './client-address.ts';

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

// RFC 3986, 3.3, without ';' parameters, empty segments and dot segments: what every router reads the same way.
const plainPath = /^\/(?:(?!\.{1,2}(?:\/|$))[\w.~!$&'()*+,=:@-]+(?:\/|$))*$/;
const percentEncoded = /%[\da-f]{2}/gi;
// Control characters, % . / ; and \, which some server behind us may decode and then obey.
const encodedTrap = /%(?:[01][\da-f]|2[5ef]|3b|5c|7f)/i;
const plainQuery = /^[!"$-~]*$/;

// What a client might send to be taken for the gateway, for another client or for another request.
const forgedHeader =
  /^(?:forwarded|(?:true-|cf-|fastly-)?(?:client|connecting)-ip|http2-settings|x-(?:forward(?:ed)?|real|client|cluster|original|rewrite|http-method|method|user|scope|role|auth|authenticated|remote|host|proxy|envoy|internal|access)s?(?:-.*)?)$/;

// These frame the message or lead it here; RFC 9110, 7.6.1 never lets them be named in Connection.
const framingHeaders = new Set(['content-length', 'transfer-encoding', 'host']);

/**
 * After this a request has one meaning for everyone behind it: a plain path, one host that is ours, one credential,
 * one framing, no header that only the gateway may set. What cannot be cleaned is refused and its connection closed.
 * @param issuer the public origin, whose host clients must name
 * @param allowedHosts further values of Host, port included; health checks may use any
 */
export function hygiene({
  issuer,
  allowedHosts,
}: {
  issuer: string;
  allowedHosts: readonly string[];
}): RequestHandler {
  const { host } = new URL(issuer);
  const hosts = new Set([host, ...allowedHosts]);

  return (req, res, next) => {
    // RFC 9112, 9.3: no proxy keeps a connection for a client of HTTP/1.0, whatever that asks for.
    if (isOld(req)) res.shouldKeepAlive = false;
    try {
      checkTarget(req);
      checkMessage(req);
      if (!hosts.has(req.headers.host?.toLowerCase() ?? '') && !isHealthCheck(req.url)) {
        throw refusal(400, `This host is not served here; use ${host}`);
      }
      removeHeaders(req.headers);
    } catch (error) {
      noteCheck(req, 'hygiene', 'refused');
      throw error;
    }
    noteCheck(req, 'hygiene', 'ok');
    req.headers['x-forwarded-for'] = clientAddressOf(req);
    next();
  };
}

function checkTarget({ url, method }: Request): void {
  if (!methods.has(method)) throw refusal(501, 'The method is not implemented');
  const queryAt = url.indexOf('?');
  const path = queryAt === -1 ? url : url.slice(0, queryAt);
  if (!isCleanPath(path) || (queryAt !== -1 && !plainQuery.test(url.slice(queryAt + 1)))) {
    throw refusal(400, 'The request target is not a plain path');
  }
}

function isCleanPath(path: string): boolean {
  if (plainPath.test(path)) return true;
  return !encodedTrap.test(path) && plainPath.test(path.replace(percentEncoded, 'x')) && isUtf8(path);
}

function isUtf8(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

function checkMessage(req: Request): void {
  const { headers, rawHeaders } = req;
  const coding = headers['transfer-encoding'];
  if (
    coding !== undefined &&
    (coding.toLowerCase() !== 'chunked' || headers['content-length'] !== undefined || isOld(req))
  ) {
    throw refusal(400, 'The framing of the body is not clear');
  }
  if (headers.upgrade !== undefined) {
    throw refusal(426, 'This server speaks HTTP/1.1 only', { Upgrade: 'HTTP/1.1' });
  }
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') {
    throw refusal(417, 'The expectation is not known');
  }
  // node:http keeps the first of two and says nothing.
  if (isAmbiguous(rawHeaders)) throw refusal(400, 'Host and Authorization may be given only once');
}

// There are no chunks in HTTP/1.0 (RFC 9112, 6.1).
function isOld({ httpVersion }: Request): boolean {
  return httpVersion === '1.0';
}

function isAmbiguous(rawHeaders: readonly string[]): boolean {
  let hosts = 0;
  let credentials = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
    else if (name.length === 13 && name.toLowerCase() === 'authorization') credentials++;
  }
  return hosts > 1 || credentials > 1;
}

function removeHeaders(headers: IncomingHttpHeaders): void {
  const { connection } = headers;
  if (connection !== undefined && connection !== 'keep-alive' && connection !== 'close') {
    for (const option of connection.toLowerCase().split(',')) {
      const name = option.trim();
      if (framingHeaders.has(name)) throw refusal(400, 'Connection may not name this header');
      // What is in them is ours by now.
      if (name !== 'x-request-id' && name !== 'traceparent') delete headers[name];
    }
  }
  for (const name in headers) {
    // An underscore becomes a hyphen in some servers, so a name with one could pass as any other.
    if (forgedHeader.test(name) || name.includes('_')) delete headers[name];
  }
}

function refusal(status: number, detail: string, headers?: Record<string, string>): Problem {
  return new Problem(status, detail, { headers: { ...headers, Connection: 'close' } });
}

/** Refuses CONNECT, which node:http keeps from the app. */
export function refuseTunnels(server: Server): void {
  const endings = new WeakMap<Socket, (() => void)[]>();
  const remember = (socket: Socket) => void endings.set(socket, socket.listeners('close') as (() => void)[]);
  server.on('connection', remember).on('secureConnection', remember);
  server.on('connect', (_req, stream) => {
    const socket = stream as Socket & { _httpMessage?: ServerResponse };
    // For a tunnel node:http takes off what ends the requests before it, which would be in flight for ever.
    for (const end of endings.get(socket) ?? [])
      if (!socket.listeners('close').includes(end)) socket.once('close', end);
    // Their answers are still to come, and this one would be taken for theirs.
    if (socket._httpMessage) return void socket.destroy();
    endWithProblem(socket, new Problem(405, undefined, { headers: { Allow: '' } }));
  });
}

/**
 * Asks whoever waits to send a body for it (RFC 9110, 10.1.1) when the answers before are out, in the middle of which
 * node:http would write that.
 */
export function askForBodies(server: Server): void {
  server.on('checkContinue', (req, res) => {
    if (res.socket) res.writeContinue();
    else res.once('socket', () => res.headersSent || res.writeContinue());
    server.emit('request', req, res);
  });
}
