import { once } from 'node:events';
import { createServer } from 'node:net';

// Below those that systems give to connections, any of which may be taken a moment later.
const [lowest, highest] = [10_000, 32_000];

/** A port of 127.0.0.1 that nobody listens on, for when it must be known before somebody does. */
export async function freePort(): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    const server = createServer();
    try {
      server.listen(lowest + Math.floor(Math.random() * (highest - lowest)), '127.0.0.1');
      await once(server, 'listening');
    } catch (error) {
      if (tries < 100) continue;
      throw error;
    }
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    return port;
  }
}
