import { randomBytes } from 'node:crypto';
import { type KoaContextWithOIDC, Provider, type RefreshToken } from 'oidc-provider';

/** A refresh token that nobody has yet. */
export const newRefreshToken = () => randomBytes(32).toString('base64url');

const successors = new WeakMap<KoaContextWithOIDC, string>();

/** Makes `successor` the refresh token that the request under way is answered with. */
export function answerWith(successor: string): void {
  const { ctx } = Provider;
  if (!ctx) throw new Error('a refresh token is only replaced on request');
  successors.set(ctx, successor);
}

type Find = (value: string, options?: { ignoreExpiration?: boolean }) => Promise<RefreshToken | undefined>;

/**
 * Leaves it to the adapter's consume whether a used refresh token may be repeated and what replaces it, where
 * oidc-provider ends the family at every repetition and makes up a new token at every rotation.
 */
export function letTheStoreRotate(provider: Provider): void {
  const { RefreshToken } = provider;
  const find = RefreshToken.find.bind(RefreshToken) as Find;
  const findUsable: Find = async (value, options) => {
    const token = await find(value, options);
    if (token && Provider.ctx?.oidc.route === 'token') token.consumed = undefined;
    return token;
  };
  Object.assign(RefreshToken, { find: findUsable });
  const { save } = RefreshToken.prototype;
  RefreshToken.prototype.save = function saveChosen() {
    const successor = Provider.ctx && successors.get(Provider.ctx);
    if (successor !== undefined) this.jti = successor;
    return save.call(this);
  };
}
