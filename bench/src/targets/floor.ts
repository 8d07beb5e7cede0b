import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createVerifier } from 'fast-jwt';
import { Pool } from 'undici';
import { runTarget } from '../target.ts';

// The least that forwards with a cached token: what node:http and undici cost by themselves.
await runTarget(async ({ upstreamUrl, publicKeyPem, alg }) => {
  const verify = createVerifier({ key: publicKeyPem, algorithms: [alg] });
  const verified = new Set<string>();
  const pool = new Pool(upstreamUrl, { connections: 128 });
  const server = createServer((req, res) => {
    const token = req.headers.authorization?.slice('Bearer '.length) ?? '';
    if (!verified.has(token)) {
      verify(token);
      verified.add(token);
    }
    pool.dispatch(
      { path: req.url ?? '/', method: 'GET', headers: { authorization: req.headers.authorization } },
      {
        onRequestStart() {},
        onResponseStart: (_controller, status, headers) => {
          delete headers.connection;
          delete headers['keep-alive'];
          res.writeHead(status, headers);
        },
        onResponseData: (_controller, chunk) => void res.write(chunk),
        onResponseEnd: () => void res.end(),
        onResponseError: () => void res.destroy(),
      },
    );
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
});
