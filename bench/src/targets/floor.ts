import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Request, Response } from 'express';
import { auth } from 'express-oauth2-jwt-bearer';
import { createVerifier } from 'fast-jwt';
import { Pool } from 'undici';
import { type BenchSetup, runTarget } from '../target.ts';

type Check = (req: IncomingMessage, res: ServerResponse, then: () => void) => void;

// The least that forwards, with a token that is remembered or one that is verified: what the parts cost by themselves.
await runTarget(async (setup) => {
  const check = setup.verifiesEach ? verifyEach(setup) : rememberVerified(setup);
  const pool = new Pool(setup.upstreamUrl, { connections: 128 });
  const server = createServer((req, res) => check(req, res, () => forward(pool, req, res)));
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
});

function rememberVerified({ publicKeyPem, alg }: BenchSetup): Check {
  const verify = createVerifier({ key: publicKeyPem, algorithms: [alg] });
  const verified = new Set<string>();
  return (req, _res, then) => {
    const token = req.headers.authorization?.slice('Bearer '.length) ?? '';
    if (!verified.has(token)) {
      verify(token);
      verified.add(token);
    }
    then();
  };
}

/** By what verifies ours. */
function verifyEach({ issuer, audience, jwksUri, alg }: BenchSetup): Check {
  const verify = auth({ issuer, audience, jwksUri, tokenSigningAlg: alg, strict: true });
  const ofExpress = { protocol: 'http', get: () => 'localhost', is: () => false };
  return (req, res, then) => {
    const request = Object.assign(req, ofExpress, { originalUrl: req.url }) as unknown as Request;
    verify(request, res as Response, (error) => (error ? res.writeHead(401).end() : then()));
  };
}

function forward(pool: Pool, req: IncomingMessage, res: ServerResponse): void {
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
}
