import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** What a socket said: `closed` is false when the server had not hung up after `timeoutMs`. */
export interface RawResponse {
  /** The status of the first response, 0 when there was none. */
  status: number;
  text: string;
  closed: boolean;
}

/**
 * Sends bytes that no HTTP client would send, and collects the answer until the server hangs up or
 * `timeoutMs` (default 2000) have passed; with `tls` to a server whose certificate for localhost is trusted. End the bytes with `Connection: close` to be quick.
 */
export function rawRequest(
  port: number,
  bytes: string | Uint8Array,
  { timeoutMs = 2000, tls = false }: { timeoutMs?: number; tls?: boolean } = {},
): Promise<RawResponse> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const address = { port, host: '127.0.0.1', servername: 'localhost' };
    const socket = tls ? connectTls(address) : connect(address);
    socket.once(tls ? 'secureConnect' : 'connect', () => socket.write(bytes));
    const finish = (closed: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      const text = Buffer.concat(chunks).toString('latin1');
      resolve({ status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0), text, closed });
    };
    const timer = setTimeout(finish, timeoutMs, false);
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => {});
    socket.on('close', () => finish(true));
  });
}
