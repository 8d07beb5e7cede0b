import { noteAnswerBeneath, Problem } from '@gatehouse/service-kit/core';
import type { RequestHandler } from 'express';

/**
 * Refuses bodies of more than `mostBytes` with 413 and holds none: by their declared length before anybody else is asked,
 * and a chunked one as soon as it has grown too long, on its way.
 */
export function limitBody(mostBytes: number): RequestHandler {
  return (req, res, next) => {
    if (Number(req.headers['content-length'] ?? 0) > mostBytes) {
      throw new Problem(413, 'The body is too large', { headers: { Connection: 'close' } });
    }
    if (req.headers['transfer-encoding'] !== undefined) {
      let bytes = 0;
      // Whoever takes the body lets it flow; a listener alone would.
      req.pause().on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= mostBytes) return;
        req.pause();
        // Behind another request on the connection, it would be read as that one's answer.
        if (!res.headersSent && res.socket) {
          noteAnswerBeneath(res, 413);
          req.socket.write(
            'HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
          );
        }
        // The answer is not node:http's, so that the exchange with the upstream ends as for a client that leaves.
        req.socket.destroySoon();
      });
    }
    next();
  };
}
