import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runTarget } from './target.ts';

const body = JSON.stringify({ id: '5f0c6f0e', name: 'a small answer', priceCents: 1290, currency: 'EUR' });

await runTarget(
  () =>
    new Promise((resolve) => {
      const server = createServer({ keepAliveTimeout: 65_000 }, (_req, res) => {
        res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length });
        res.end(body);
      });
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    }),
);
