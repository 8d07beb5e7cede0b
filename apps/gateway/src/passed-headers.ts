import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';

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
// The request has its id from the gateway already, and noteNextHop() passes on what the client may be told of the checks.
const keptFromClient = new Set([...hopByHop, 'server', 'server-timing', 'x-powered-by', 'x-request-id']);

/** The client's headers that the upstream is to see, name and value in turn. */
export function headersForUpstream(
  req: IncomingMessage,
  { keepsCookies }: { keepsCookies: boolean },
): string[] {
  const headers: string[] = [];
  for (const name in req.headers) {
    if (keptFromUpstream.has(name) || (name === 'cookie' && !keepsCookies)) continue;
    headers.push(name, req.headers[name] as string);
  }
  return headers;
}

/**
 * Adds the upstream's headers that the client is to see to `ours`, in the place of ours of the same name. What `res` says
 * that it varies by, it still does.
 */
export function passOnHeaders(
  headers: Record<string, string | string[] | undefined>,
  ours: OutgoingHttpHeaders,
  res: ServerResponse,
): void {
  const named = namedInConnection(headers.connection);
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined || keptFromClient.has(name) || named?.has(name)) continue;
    if (name === 'vary' && res.hasHeader(name)) res.appendHeader(name, value);
    else ours[name] = value;
  }
}

function namedInConnection(connection: string | string[] | undefined): Set<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined;
  return new Set(
    String(connection)
      .toLowerCase()
      .split(/\s*,\s*/),
  );
}
