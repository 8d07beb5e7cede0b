import type { AddressInfo } from 'node:net';
import httpProxy from '@fastify/http-proxy';
import { createVerifier } from 'fast-jwt';
import fastify from 'fastify';
import { runTarget } from '../target.ts';

// @fastify/http-proxy with verified tokens cached, without metrics, denylist and hygiene.
await runTarget(async ({ upstreamUrl, issuer, audience, publicKeyPem, alg, accessLog }) => {
  const verify = createVerifier({
    key: publicKeyPem,
    algorithms: [alg],
    allowedIss: issuer,
    allowedAud: audience,
    cache: true,
  });
  const app = fastify({ logger: accessLog });
  await app.register(httpProxy, {
    upstream: upstreamUrl,
    preHandler: (request, reply, done) => {
      try {
        verify(request.headers.authorization?.slice('Bearer '.length) ?? '');
        done();
      } catch {
        reply.code(401).send();
      }
    },
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  return (app.server.address() as AddressInfo).port;
});
