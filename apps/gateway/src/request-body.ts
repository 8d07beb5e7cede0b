import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';

// A body of this many bytes streams; a shorter one is held until it is whole.
const collectedBytes = 64 * 1024;

/**
 * A stream of its own for the body of `req`, or null where there is none: undici destroys the body that it is given, and
 * the client's request must outlive it.
 */
export function bodyFor({ headers }: IncomingMessage): PassThrough | null {
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
  return hasBody ? new PassThrough({ highWaterMark: collectedBytes }) : null;
}

/** Pours the body of `req` into `body`, and calls back once when all of it is there, or enough to stream. */
export function collect(req: IncomingMessage, body: PassThrough, onCollected: () => void): void {
  const collected = () => {
    req.off('data', count);
    body.off('finish', collected);
    onCollected();
  };
  const count = () => {
    if (body.readableLength >= collectedBytes) collected();
  };
  req.pipe(body).once('finish', collected);
  req.on('data', count);
}
