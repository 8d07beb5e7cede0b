import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server that accepts requests until `close()` resolves. */
export interface ListeningApp {
  url: string;
  port: number;
  server: Server;
  close(): Promise<void>;
}

/**
 * Serves `app` (an Express app or any request listener) on a free port of 127.0.0.1.
 * `close()` cuts the connections that are still open.
 */
export async function listenApp(app: RequestListener): Promise<ListeningApp> {
  const server = createServer(app);
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
