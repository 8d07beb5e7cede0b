import { networkOf } from '@gatehouse/rate-limits';
import {
  type Adapter,
  type AdapterFactory,
  type AdapterPayload,
  errors,
  type KoaContextWithOIDC,
  Provider,
} from 'oidc-provider';
import { clientAddressOf } from '../client-address.ts';
import { codeConfirmPage, codeInputPage, deviceConnectedPage, TooManyGuesses } from '../pages/device.ts';
import { lifetimes } from '../protocol/scopes.ts';
import { orUnavailable } from '../protocol/unavailable.ts';
import { type DeviceCodes, pollIntervalSeconds } from './device-codes.ts';

/** The device grant (RFC 8628) as oidc-provider is to run it: 20^8 user codes, without vowels and digits. */
export const deviceFlow = {
  enabled: true,
  charset: 'base-20',
  mask: '****-****',
  // What a device says about itself is the word of whoever wants the access.
  deviceInfo: () => ({}),
  userCodeInputSource: codeInputPage,
  userCodeConfirmSource: codeConfirmPage,
  successSource: deviceConnectedPage,
} as const;

/**
 * Adds what oidc-provider's device grant lacks: the interval and slow_down (RFC 8628, sections 3.2 and 3.5), and a page
 * that needs no script.
 */
export function paceDeviceGrant(provider: Provider, deviceCodes: DeviceCodes): void {
  provider.use(async (ctx: KoaContextWithOIDC, next: () => Promise<void>) => {
    if (ctx.path === '/device' && ctx.method !== 'POST') {
      // The library would post a code from the address by a script; here it only fills in the form.
      const { user_code: userCode } = ctx.query;
      ctx.state.userCode = typeof userCode === 'string' ? userCode : '';
      ctx.querystring = '';
    }
    await next();
    await pace(ctx, deviceCodes);
  });
}

async function pace(ctx: KoaContextWithOIDC, deviceCodes: DeviceCodes): Promise<void> {
  const { oidc, body } = ctx as { oidc?: KoaContextWithOIDC['oidc']; body: unknown };
  const answer = body as Record<string, unknown> | undefined;
  if (oidc?.route === 'device_authorization' && answer?.device_code) answer.interval = pollIntervalSeconds;
  if (oidc?.route !== 'token' || answer?.error !== 'authorization_pending') return;
  const polled = await orUnavailable(() => deviceCodes.poll(String(oidc.params?.device_code)));
  if (polled === 'too soon') refuse(ctx, new errors.SlowDown());
  if (polled === 'void') refuse(ctx, new errors.ExpiredToken('too many wrong user codes were tried'));
}

function refuse(ctx: KoaContextWithOIDC, { error, error_description }: errors.OIDCProviderError): void {
  ctx.body = { error, error_description };
}

/** Finds device codes by their user codes, within the limits of guessing, and lets one answer of a user count. */
export function withUserCodes(factory: AdapterFactory, deviceCodes: DeviceCodes): AdapterFactory {
  return (model) => {
    const adapter = factory(model);
    if (model !== 'DeviceCode') return adapter;
    const limited: Pick<Adapter, 'upsert' | 'findByUserCode'> = {
      upsert: (...args) => orUnavailable(() => upsert(adapter, ...args)),
      findByUserCode: (userCode) => orUnavailable(() => findByUserCode(adapter, userCode)),
    };
    return { ...adapter, ...limited };
  };

  async function upsert(adapter: Adapter, id: string, payload: AdapterPayload, expiresIn = 0) {
    if (isFirstAnswer(payload) && !(await deviceCodes.claim(id))) {
      throw new errors.InvalidRequest('the code has been answered already');
    }
    if (payload.userCode !== undefined) await deviceCodes.remember(id, payload.userCode);
    // An expired code is kept for as long again, to be called expired and not unknown.
    await adapter.upsert(id, payload, expiresIn + lifetimes.deviceCode);
  }

  async function findByUserCode(adapter: Adapter, userCode: string) {
    const guessers = guessersOf(Provider.ctx);
    const waitSeconds = await deviceCodes.takeGuess(guessers);
    if (waitSeconds !== undefined) throw new TooManyGuesses(waitSeconds);
    const id = await deviceCodes.find(userCode);
    const payload = id === undefined ? undefined : await adapter.find(id);
    if (payload && isWaiting(payload)) await deviceCodes.returnGuess(guessers);
    return payload;
  }
}

function isFirstAnswer({ inFlight, accountId, error }: AdapterPayload): boolean {
  return inFlight ? !accountId && !error : error !== undefined;
}

function isWaiting({ inFlight, accountId, error, exp = 0 }: AdapterPayload): boolean {
  return !inFlight && !accountId && !error && exp > Date.now() / 1000;
}

function guessersOf(ctx: KoaContextWithOIDC | undefined): string[] {
  if (!ctx) throw new Error('user codes are looked up for requests alone');
  const { session } = ctx.oidc;
  const guessers = [`address ${networkOf(clientAddressOf(ctx.req))}`, `session ${session?.uid}`];
  return session?.accountId ? [...guessers, `account ${session.accountId}`] : guessers;
}
