import { bodyOf } from '../exchange.ts';
import { type Experiment, mustBe, wordsOf } from './experiment.ts';
import { call, idOf, sendJson, tokensOf } from './lab-client.ts';

const authenticate = 'packages/auth-middleware/src/authenticate.ts';

/** Requests that ask for too much. */
export const requests: readonly Experiment[] = [
  {
    id: 'no-token',
    title: 'No token',
    sends: 'GET /orders without Authorization.',
    expects: '401 with a challenge that tells where tokens come from.',
    decidedBy: authenticate,
    run: async () => mustBe(401, await call('/orders')),
  },
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
    decidedBy: 'apps/gateway/src/hygiene.ts',
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
