import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runTarget } from '../target.ts';

const body = JSON.stringify({ id: '5f0c6f0e', name: 'a small answer', priceCents: 1290, currency: 'EUR' });
const head = { 'Content-Type': 'application/json', 'Content-Length': body.length };

// An upstream that fails as the path asks it to: it breaks off before its answer or within it, or says 500.
await runTarget(
  () =>
    new Promise((resolve) => {
      const server = createServer({ keepAliveTimeout: 65_000 }, (req, res) => {
        if (req.url === '/items/breaks') return void req.socket.destroy();
        if (req.url === '/items/half') {
          res.writeHead(200, head);
          res.write(body.slice(0, 10), () => req.socket.destroy());
          return;
        }
        res.writeHead(req.url === '/items/fails' ? 500 : 200, head).end(body);
      });
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    }),
);
