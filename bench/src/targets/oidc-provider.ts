import { generateKeyPairSync } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { Provider } from 'oidc-provider';
import { runTarget } from '../target.ts';
import type { PeerSetup } from './express-jose.ts';

const issuer = 'http://localhost:8080';

// The library by itself, with nothing of ours around it.
await runTarget(async ({ clientId, clientSecret, scope }: PeerSetup) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const api = {
    audience: 'urn:gatehouse:api',
    scope,
    accessTokenFormat: 'jwt' as const,
    accessTokenTTL: 300,
  };
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        grant_types: ['client_credentials'],
        response_types: [],
        id_token_signed_response_alg: 'ES256',
        redirect_uris: [],
      },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
    scopes: [scope],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => api.audience,
        getResourceServerInfo: () => ({ ...api, jwt: { sign: { alg: 'ES256' } } }),
      },
    },
    routes: { token: '/token' },
    ttl: { ClientCredentials: 300 },
  });
  return new Promise((resolve) => {
    const server = provider.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
});
