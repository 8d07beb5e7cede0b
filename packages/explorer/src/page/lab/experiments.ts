import { bodyOf, type Exchange, send } from '../exchange.ts';
import { codeExperiments } from './code-experiments.ts';
import { type Experiment, mustBe, wordsOf } from './experiment.ts';
import { forgeries } from './forgeries.ts';
import { askAs, call, pause, post, proofFor, sendJson, tokensIn, tokensOf } from './lab-client.ts';

const authenticate = 'packages/auth-middleware/src/authenticate.ts';

async function asAdmin(method: string, path: string): Promise<Exchange> {
  const { accessToken } = await tokensOf('admin', 'users:admin');
  return call(path, accessToken, {}, method);
}

async function idOf(token: string): Promise<string> {
  return String((bodyOf(await call('/users/me', token)) as { id?: string }).id);
}

/** How long after a moment the token is refused, asked again and again for two seconds. */
async function refusedAfter(token: string, since: number): Promise<number | undefined> {
  while (performance.now() - since < 2000) {
    const { status } = await call('/users/me', token);
    if (status === 401) return performance.now() - since;
  }
  return undefined;
}

/** Every way to break a rule that there is a button for. */
export const experiments: readonly Experiment[] = [
  {
    id: 'no-token',
    title: 'No token',
    sends: 'GET /orders without Authorization.',
    expects: '401 with a challenge that tells where tokens come from.',
    decidedBy: authenticate,
    run: async () => mustBe(401, await call('/orders')),
  },
  {
    id: 'expired',
    title: 'An expired token',
    sends:
      'A real token of two seconds, used at once, and again when it and five seconds of leeway are over.',
    expects: '200, then 401.',
    decidedBy: 'packages/auth-middleware/src/verify-token.ts',
    run: async () => {
      const form = { grant_type: 'client_credentials', scope: 'items:read' };
      const { accessToken } = tokensIn(await post('/token', form, 'demo-partner:demo-partner-secret'));
      const before = await call('/items', accessToken);
      await pause(8000);
      const after = await call('/items', accessToken);
      return {
        held: before.status === 200 && after.status === 401,
        seen: `${wordsOf(before)}; then ${wordsOf(after)}`,
      };
    },
  },
  ...forgeries,
  {
    id: 'missing-scope',
    title: 'A missing scope',
    sends: 'GET /orders with a token that has profile:read alone.',
    expects: '403, and the scope that is missing is named.',
    decidedBy: 'packages/auth-middleware/src/require-scope.ts',
    run: async () =>
      mustBe(403, await call('/orders', (await tokensOf('alice', 'profile:read')).accessToken)),
  },
  {
    id: 'other-owner',
    title: 'Someone else’s order',
    sends: 'GET /orders/{id} of bob’s order, with alice’s token.',
    expects: '404: it is as unknown as an id that nobody has.',
    decidedBy: 'apps/orders/src/store.ts',
    run: async () => {
      const bob = await tokensOf('bob', 'orders:read');
      const page = bodyOf(await call('/orders', bob.accessToken)) as { items?: { id: string }[] };
      const id = page.items?.[0]?.id;
      if (id === undefined) throw new Error('Bob has no order.');
      const alice = await tokensOf('alice', 'orders:read');
      return mustBe(404, await call(`/orders/${id}`, alice.accessToken));
    },
  },
  {
    id: 'forged-user',
    title: 'A forged X-User-Id',
    sends: 'GET /users/me with X-User-Id of an admin: without a token, then with alice’s.',
    expects: '401, then alice’s own profile: nobody takes a header’s word for who is calling.',
    decidedBy: 'apps/gateway/src/passed-headers.ts',
    run: async () => {
      const header = { 'X-User-Id': await idOf((await tokensOf('admin', 'profile:read')).accessToken) };
      const without = await call('/users/me', undefined, header);
      const withToken = await call(
        '/users/me',
        (await tokensOf('alice', 'profile:read')).accessToken,
        header,
      );
      const { username } = bodyOf(withToken) as { username?: string };
      return {
        held: without.status === 401 && username === 'alice',
        seen: `${wordsOf(without)}; then ${withToken.status} for ${username}`,
      };
    },
  },
  {
    id: 'query-token',
    title: 'A token in the address',
    sends: 'GET /users/me?access_token=… with a good token.',
    expects: '401: addresses end up in logs and histories, so a token there counts for nothing.',
    decidedBy: 'packages/auth-middleware/src/authenticate.ts',
    run: async () => {
      const { accessToken } = await tokensOf('alice', 'profile:read');
      const exchange = await call(`/users/me?access_token=${accessToken}`);
      return mustBe(401, { ...exchange, path: '/users/me?access_token=…' });
    },
  },
  {
    id: 'revoked',
    title: 'A revoked token',
    sends: 'POST /revoke, then GET /users/me again and again.',
    expects: '401 within milliseconds, though the token has not expired.',
    decidedBy: 'packages/denylist/src',
    run: async () => {
      const { accessToken } = await tokensOf('alice', 'profile:read');
      const before = await call('/users/me', accessToken);
      await post('/revoke', { client_id: 'demo-first-party', token: accessToken });
      const after = await refusedAfter(accessToken, performance.now());
      return {
        held: before.status === 200 && after !== undefined,
        seen:
          after === undefined
            ? 'Still taken after two seconds.'
            : `Refused ${after.toFixed(0)} ms after the answer.`,
      };
    },
  },
  {
    id: 'refresh-replay',
    title: 'A refresh token replayed',
    sends: 'A refresh token, its successor, and then the first one again, as a thief would.',
    expects: 'invalid_grant, and the whole family is dead, the newest one too.',
    decidedBy: 'apps/auth/src/protocol/replay.ts',
    run: async () => {
      const refresh = (token: string) =>
        post('/token', { grant_type: 'refresh_token', client_id: 'demo-first-party', refresh_token: token });
      const first = await tokensOf('alice', 'offline_access profile:read');
      const second = tokensIn(await refresh(first.refreshToken));
      const third = tokensIn(await refresh(second.refreshToken));
      const replayed = await refresh(first.refreshToken);
      const newest = await refresh(third.refreshToken);
      return {
        held: replayed.status === 400 && newest.status === 400,
        seen: `The old one: ${replayed.status}; the newest one after it: ${newest.status}.`,
      };
    },
  },
  ...codeExperiments,
  {
    id: 'disabled',
    title: 'A disabled account',
    sends:
      'Carol, who is disabled, signs in. Then an admin disables johndoe, who has a token, and enables him again.',
    expects: 'invalid_grant for carol; johndoe’s live token is 401 at once.',
    decidedBy: 'apps/auth/src/accounts/account-access.ts',
    run: async () => {
      const carol = await askAs('carol', 'profile:read');
      const { accessToken } = await tokensOf('johndoe', 'profile:read');
      const id = await idOf(accessToken);
      let after: number | undefined;
      try {
        await asAdmin('POST', `/users/${id}/disable`);
        after = await refusedAfter(accessToken, performance.now());
      } finally {
        await asAdmin('POST', `/users/${id}/enable`);
      }
      return {
        held: carol.status === 400 && after !== undefined,
        seen: `Carol: ${wordsOf(carol)}. Johndoe’s token: ${after === undefined ? 'still taken' : `refused after ${after.toFixed(0)} ms`}.`,
      };
    },
  },
  {
    id: 'everywhere',
    title: 'Log out everywhere',
    sends: 'Two sign-ins of johndoe; then an admin ends the access of the account.',
    expects: 'Both tokens are 401 at once.',
    decidedBy: 'apps/auth/src/accounts/account-admin.ts',
    run: async () => {
      const [one, other] = [
        await tokensOf('johndoe', 'profile:read'),
        await tokensOf('johndoe', 'profile:read'),
      ];
      await asAdmin('POST', `/users/${await idOf(one.accessToken)}/logout`);
      const since = performance.now();
      const after = [
        await refusedAfter(one.accessToken, since),
        await refusedAfter(other.accessToken, since),
      ];
      return {
        held: !after.includes(undefined),
        seen: `Refused after ${after.map((ms) => (ms === undefined ? 'never' : `${ms.toFixed(0)} ms`)).join(' and ')}.`,
      };
    },
  },
  {
    id: 'rotation',
    title: 'Key rotation under traffic',
    sends:
      'An admin publishes a new signing key, while GET /users/me is sent fifty times with a token from before.',
    expects: 'Not one 401: a key signs only when everybody knows it, and goes when its last token has died.',
    decidedBy: 'apps/auth/src/keys/keys.ts',
    run: async () => {
      const { accessToken } = await tokensOf('alice', 'profile:read');
      const traffic = Promise.all(Array.from({ length: 50 }, () => call('/users/me', accessToken)));
      const rotated = await asAdmin('POST', '/admin/keys/rotate');
      const statuses = new Set((await traffic).map(({ status }) => status));
      statuses.add((await call('/users/me', (await tokensOf('alice', 'profile:read')).accessToken)).status);
      return {
        held: rotated.status === 202 && `${[...statuses]}` === '200',
        seen: `The rotation: ${rotated.status}; the calls: ${[...statuses].join(', ')}.`,
      };
    },
  },
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
    decidedBy: 'apps/gateway/src/app.ts',
    run: async () => mustBe(401, await call('/items', await exchanged())),
  },
  {
    id: 'admin-route',
    title: 'An admin’s route without the role',
    sends: 'GET /users with a token of alice that has the scope users:admin, if she can get one.',
    expects: '403: what an application may do never exceeds what its user may.',
    decidedBy: 'packages/auth-middleware/src/require-scope.ts',
    run: async () => mustBe(403, await call('/users', (await tokensOf('alice', 'users:admin')).accessToken)),
  },
  {
    id: 'unknown-field',
    title: 'A field that nobody may set',
    sends: 'POST /items with ownerId of somebody else in it.',
    expects: '422, and the field is named; nothing is stored.',
    decidedBy: 'packages/service-kit/src/route.ts',
    run: async () => {
      const { accessToken } = await tokensOf('alice', 'items:write');
      const item = { name: 'Lamp', description: '', priceCents: 1, stock: 1, ownerId: crypto.randomUUID() };
      return mustBe(422, await sendJson('POST', '/items', accessToken, item));
    },
  },
];

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
