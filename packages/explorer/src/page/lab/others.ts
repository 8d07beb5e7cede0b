import { send } from '../exchange.ts';
import { type Experiment, mustBe } from './experiment.ts';
import { askAs, call, post, proofFor, tokensIn, tokensOf } from './lab-client.ts';

async function exchanged(): Promise<string> {
  const { accessToken } = await tokensOf('alice', 'items:read');
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    audience: 'urn:gatehouse:items',
    scope: 'items:read',
    subject_token: accessToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  };
  return tokensIn(await post('/token', form, 'demo-partner:demo-partner-secret')).accessToken;
}

/** Tokens for others, and guesses. */
export const others: readonly Experiment[] = [
  {
    id: 'dpop',
    title: 'A bound token without its proof',
    sends:
      'A token bound to a key of this page (DPoP): as bearer, without a proof, with another key’s, with its own.',
    expects: '401, 401, 401, and 200 for the proof by its own key alone.',
    decidedBy: 'packages/auth-middleware/src/verify-proof.ts',
    run: async () => {
      const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
      const [own, other] = await Promise.all(
        [0, 1].map(() => crypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])),
      );
      if (!own || !other) throw new Error('There are no keys to be had.');
      const body = new URLSearchParams({ grant_type: 'client_credentials', scope: 'items:read' }).toString();
      const headers = {
        'Content-Type': 'application/x-www-form-urlencoded',
        Authorization: `Basic ${btoa('demo-reporting:demo-reporting-secret')}`,
        DPoP: await proofFor(own, { method: 'POST', path: '/token' }),
      };
      const { accessToken } = tokensIn(await send({ method: 'POST', path: '/token', headers, body }));
      const items = { method: 'GET', path: '/items' };
      const bound = async (keys?: CryptoKeyPair) => {
        const proof = keys && { DPoP: await proofFor(keys, items, accessToken) };
        return send({ ...items, headers: { Authorization: `DPoP ${accessToken}`, ...proof } });
      };
      const answers = [
        await call('/items', accessToken),
        await bound(),
        await bound(other),
        await bound(own),
      ];
      const statuses = answers.map(({ status }) => status);
      return { held: `${statuses}` === '401,401,401,200', seen: `${statuses.join(', ')}.` };
    },
  },
  {
    id: 'wrong-audience',
    title: 'A wrong audience',
    sends: 'A token that a partner has exchanged for the items service (RFC 8693), sent to /orders.',
    expects: '401: it is genuine, and meant for somebody else.',
    decidedBy: 'packages/auth-middleware/src/verify-token.ts',
    run: async () => mustBe(401, await call('/orders', await exchanged())),
  },
  {
    id: 'exchanged',
    title: 'An exchanged token at the gateway',
    sends: 'The same kind of token, sent to /items through the gateway.',
    expects: '401: such tokens are for calls between services, and the gateway takes none of them.',
    decidedBy: 'apps/gateway/src/start.ts',
    run: async () => mustBe(401, await call('/items', await exchanged())),
  },
  {
    id: 'rate-limit',
    title: 'Guessing a password',
    sends: 'Twelve wrong passwords for one name.',
    expects: 'Ten times invalid_grant, then 429 with Retry-After.',
    decidedBy: 'apps/auth/src/limits/limits.ts',
    run: async () => {
      const name = `nobody-${crypto.randomUUID().slice(0, 8)}`;
      const statuses: number[] = [];
      for (let guess = 0; guess < 12; guess += 1)
        statuses.push((await askAs(name, 'profile:read', `wrong-${guess}`)).status);
      const refused = statuses.indexOf(429);
      return {
        held: refused > 0 && refused <= 10 && statuses.slice(refused).every((status) => status === 429),
        seen: `${statuses.join(', ')}.`,
      };
    },
  },
];
