import type { Server } from 'node:http';
import type { BlockList, Socket } from 'node:net';
import { networkOf, plainAddress } from '@gatehouse/rate-limits';
import { isListed } from './client-address.ts';

/** The whole request must have come in this time, and each piece of its answer must be taken in it. */
const slowestMs = 13_000;
// Longer than an answer may take to begin: to wait for room, for a connection, and for whoever may be silent the longest.
const silentMs = 26_000;
const everyMs = 1_000;
const mostOfOneNetwork = 0.5;

/** Why a connection was closed without an answer. */
export type CutReason = 'all taken' | 'one network' | 'slow reader';

/**
 * Bounds what clients can hold open: `most` connections in all, and half of them from one network that is no trusted
 * proxy; 13 seconds for a whole request, as long for each piece of an answer to be taken, and 26 without a byte read
 * or written while it is answered.
 * @param onCut told of each that is closed for want of a place, or because its answer is not taken
 */
export function limitConnections(
  server: Server,
  { most, trusted, onCut }: { most: number; trusted: BlockList; onCut: (reason: CutReason) => void },
): void {
  server.maxConnections = most;
  server.requestTimeout = slowestMs;
  server.timeout = silentMs;
  server.on('drop', () => onCut('all taken'));
  cutSlowReaders(server, onCut);
  const open = new Map<string, number>();
  const mostFromOne = Math.ceil(most * mostOfOneNetwork);

  server.on('connection', (socket: Socket) => {
    const address = plainAddress(socket.remoteAddress);
    if (isListed(trusted, address)) return;
    const network = networkOf(address);
    const count = open.get(network) ?? 0;
    if (count >= mostFromOne) {
      onCut('one network');
      socket.destroy();
      return;
    }
    open.set(network, count + 1);
    socket.once('close', () => {
      const left = (open.get(network) ?? 1) - 1;
      if (left === 0) open.delete(network);
      else open.set(network, left);
    });
  });
}

/** The time-out of a socket is prolonged by every byte that is read, and runs twice for a client that reads none. */
function cutSlowReaders(server: Server, onCut: (reason: CutReason) => void): void {
  const waiting = new Map<Socket, { taken: number; since: number }>();
  const follow = (socket: Socket) => {
    waiting.set(socket, { taken: 0, since: 0 });
    socket.once('close', () => waiting.delete(socket));
  };
  server.on('connection', follow).on('secureConnection', follow);
  const look = setInterval(() => {
    const now = performance.now();
    for (const [socket, piece] of waiting) {
      const taken = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength === 0 || taken !== piece.taken) Object.assign(piece, { taken, since: now });
      else if (now - piece.since >= slowestMs) {
        onCut('slow reader');
        socket.destroy();
      }
    }
  }, everyMs).unref();
  server.once('close', () => clearInterval(look));
}
