import type { Request, Response } from 'express';
import type { InteractionResults, Provider } from 'oidc-provider';

/** What oidc-provider keeps of an authorization request that waits for an answer of its pages. */
export type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>;

/** The prompt of clients that want somebody beside those who are signed in (OpenID Connect Core, 3.1.2.1). */
export const selectAccount = 'select_account';

/**
 * Goes on with the authorization request, now that somebody has signed in. Where the client lets people choose among
 * accounts, a sign-in with another one leaves the session before as it is, with what was given in it: this browser has a new
 * one. Elsewhere the library signs the account before out.
 */
export async function finishSignIn(
  provider: Provider,
  interaction: Interaction,
  login: NonNullable<InteractionResults['login']>,
  { req, res }: { req: Request; res: Response },
): Promise<void> {
  if (interaction.prompt.name !== selectAccount) return provider.interactionFinished(req, res, { login });
  if (interaction.session && interaction.session.accountId !== login.accountId) {
    delete interaction.session;
    await interaction.save(interaction.exp - Math.floor(Date.now() / 1000));
    const { cookies } = provider.createContext(req, res);
    cookies.set(provider.cookieName('session'), null, { signed: true, overwrite: true, sameSite: 'lax' });
  }
  return provider.interactionFinished(req, res, { login, [selectAccount]: {} });
}
