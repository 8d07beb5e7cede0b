import type { Exchange } from '../exchange.ts';
import { type Experiment, wordsOf } from './experiment.ts';
import { askAs, call, idOf, pause, post, tokensIn, tokensOf } from './lab-client.ts';

async function asAdmin(method: string, path: string): Promise<Exchange> {
  const { accessToken } = await tokensOf('admin', 'users:admin');
  return call(path, accessToken, {}, method);
}

/** How long after a moment the token is refused, asked again and again for two seconds. */
async function refusedAfter(token: string, since: number): Promise<number | undefined> {
  while (performance.now() - since < 2000) {
    const { status } = await call('/users/me', token);
    if (status === 401) return performance.now() - since;
  }
  return undefined;
}

/** Tokens that were good once. */
export const endings: readonly Experiment[] = [
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
  {
    id: 'revoked',
    title: 'A revoked token',
    sends: 'POST /revoke, then GET /users/me again and again.',
    expects: '401 within milliseconds, though the token has not expired.',
    decidedBy: 'packages/denylist/src/revocation-index.ts',
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
    decidedBy: 'apps/auth/src/protocol/adapter.ts',
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
];
