import { current, endGrantOf } from '../identities.ts';
import { askForCode, clientId, redirectUri } from '../sign-in.ts';
import { type Experiment, mustBe, wordsOf } from './experiment.ts';
import { call, post, tokensIn } from './lab-client.ts';

/** Asks for a code without a question to anybody: whoever is signed in at the authorization server has consented before. */
const silently = () => askForCode({ scope: 'openid profile:read', prompt: 'none' });

/** What goes through /authorize, and so through a window of its own; somebody must have signed in here. */
export const codeExperiments: readonly Experiment[] = [
  {
    id: 'code-twice',
    title: 'A code redeemed twice',
    sends: 'A code from /authorize, sent to /token, and then once more. Somebody must be signed in here.',
    expects: '200, then invalid_grant; and whatever came of the same grant is dead, the sign-in here too.',
    opensWindow: true,
    decidedBy: 'apps/auth/src/protocol/adapter.ts',
    run: async () => {
      if (!current()) throw new Error('Sign in first: then there is a code to be had without a question.');
      const { code, verifier } = await silently();
      const form = {
        grant_type: 'authorization_code',
        client_id: clientId,
        redirect_uri: redirectUri,
        code,
        code_verifier: verifier,
      };
      const { accessToken } = tokensIn(await post('/token', form));
      const again = await post('/token', form);
      const after = await call('/users/me', accessToken);
      if (after.status === 401) endGrantOf(accessToken, 'A code of this sign-in was redeemed twice.');
      return {
        held: again.status === 400 && after.status === 401,
        seen: `The second time: ${wordsOf(again)}; the first token then: ${after.status}.`,
      };
    },
  },
  {
    id: 'id-token',
    title: 'An ID token as access token',
    sends: 'GET /users/me with the ID token of a sign-in here.',
    expects: '401: it says who signed in, to the application, and opens nothing.',
    decidedBy: 'packages/auth-middleware/src/verify-token.ts',
    run: async () => {
      const identity = current();
      if (!identity) throw new Error('Sign in first: then there is an ID token to try.');
      return mustBe(401, await call('/users/me', identity.tokens.idToken));
    },
  },
];
