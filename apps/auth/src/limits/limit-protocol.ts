import { errors, type KoaContextWithOIDC, Provider } from 'oidc-provider';
import { beforeSecretIsCompared } from '../protocol/mend-provider.ts';
import { LimitExceeded, type Limits } from './limits.ts';

/** What an OAuth endpoint answers when a limit is exceeded. */
export class TooManyRequests extends errors.OIDCProviderError {
  constructor({ message, headers }: LimitExceeded) {
    super(429, 'too_many_requests');
    this.error_description = message;
    Provider.ctx?.set(headers);
  }
}

/** Turns the refusal of a limit into an answer of OAuth. */
export async function withinLimits<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof LimitExceeded ? new TooManyRequests(error) : error;
  }
}

const clientsAuthenticateAt: readonly (string | undefined)[] = [
  'token',
  'introspection',
  'revocation',
  'device_authorization',
  'pushed_authorization_request',
];

/** Holds the protocol's endpoints to the limits: device codes are asked for only so often, and so are secrets guessed. */
export function limitProtocol(provider: Provider, limits: Limits): void {
  beforeSecretIsCompared(provider, ({ request: { req } }, clientId) =>
    withinLimits(async () => limits.requireClientGuess(req, clientId)),
  );
  // The request of the connection: another may stand in for it further in.
  provider.use(async (ctx: KoaContextWithOIDC, next: () => Promise<void>) => {
    try {
      const asksForCode = ctx.path === '/device/authorize' && ctx.method === 'POST';
      if (asksForCode) await limits.countRequest('device-authorization', ctx.request.req);
      await next();
      const { oidc } = ctx as { oidc?: KoaContextWithOIDC['oidc'] };
      const isRefusedClient = ctx.status === 401 && clientsAuthenticateAt.includes(oidc?.route);
      if (isRefusedClient) await limits.countClientFailure(ctx.request.req, oidc?.client?.clientId);
    } catch (error) {
      if (!(error instanceof LimitExceeded)) throw error;
      ctx.remove('WWW-Authenticate');
      ctx.set(error.headers);
      ctx.status = error.status;
      ctx.body = { error: 'too_many_requests', error_description: error.message };
    }
  });
}
