import type { IncomingMessage } from 'node:http';

/** Who is calling, as a verified token says. */
export interface Caller {
  readonly subject: string;
  readonly clientId: string;
  /** `client` when a client acts for itself: its token has sub equal to client_id (RFC 9068, 2.2). */
  readonly kind: 'user' | 'client';
  /** The one resource server, or the group of them, that the token is for. */
  readonly audience: string;
  readonly scopes: ReadonlySet<string>;
  readonly roles: ReadonlySet<string>;
  readonly tokenId: string;
  /** The grant that the token belongs to. */
  readonly grantId: string | undefined;
  /** Of the key that the token is bound to, where it is bound to one (RFC 9449, 6.1). */
  readonly keyThumbprint: string | undefined;
  /** The service that acts on behalf of the subject (RFC 8693, 4.1). */
  readonly actor: string | undefined;
  /** Epoch seconds. */
  readonly issuedAt: number;
  /** Epoch seconds. */
  readonly expiresAt: number;
}

// Not a WeakMap: on every request, a property of a key that nobody else has is cheaper and as private.
const callerKey = Symbol('caller');

type Identified = IncomingMessage & { [callerKey]?: Caller };

/** The caller of a request behind createAuthenticate(); throws when the guard is missing: a 500, never data. */
export function callerOf(req: IncomingMessage): Caller {
  const caller = (req as Identified)[callerKey];
  if (!caller) throw new Error('callerOf() needs createAuthenticate() in front of this route');
  return caller;
}

/** The caller of a request, undefined where it did not get past createAuthenticate(): for logs. */
export function knownCallerOf(req: IncomingMessage): Caller | undefined {
  return (req as Identified)[callerKey];
}

/** Lets callerOf() answer `caller` for this request: for createAuthenticate() alone. */
export function setCaller(req: IncomingMessage, caller: Caller): void {
  (req as Identified)[callerKey] = caller;
}

const sharedText = createShared((text) => text);
const sharedSet = createShared((list): ReadonlySet<string> => new Set<string>(JSON.parse(list)));

// RFC 6749, 3.3
const scopeShape = /^[\x21\x23-\x5B\x5D-\x7E]+(?: [\x21\x23-\x5B\x5D-\x7E]+)*$/;
const sha256Shape = /^[\w-]{43}$/;

/** The caller that verified claims name; throws, with the claim at fault, on any that has not the form it must have. */
export function callerFrom(claims: Record<string, unknown>): Caller {
  const subject = text(claims, 'sub');
  const clientId = sharedText(text(claims, 'client_id'));
  return Object.freeze<Caller>({
    subject,
    clientId,
    kind: subject === clientId ? 'client' : 'user',
    audience: audienceIn(claims.aud),
    scopes: scopesIn(claims.scope),
    roles: rolesIn(claims.roles),
    tokenId: text(claims, 'jti'),
    grantId: claims.gid === undefined ? undefined : text(claims, 'gid'),
    keyThumbprint: claims.cnf === undefined ? undefined : thumbprintIn(record(claims.cnf, 'cnf')),
    actor: claims.act === undefined ? undefined : text(record(claims.act, 'act'), 'sub'),
    issuedAt: seconds(claims, 'iat'),
    expiresAt: seconds(claims, 'exp'),
  });
}

// RFC 7519, 4.1.3: a text, or a list of them; of ours exactly one.
function audienceIn(audience: unknown): string {
  const [only, ...others] = Array.isArray(audience) ? audience : [audience];
  if (typeof only !== 'string' || others.length > 0) throw new TypeError('claim aud');
  return sharedText(only);
}

function scopesIn(scope: unknown): ReadonlySet<string> {
  if (scope === undefined || scope === '') return sharedSet('[]');
  if (typeof scope !== 'string' || !scopeShape.test(scope)) throw new TypeError('claim scope');
  return sharedSet(JSON.stringify(scope.split(' ')));
}

function rolesIn(roles: unknown): ReadonlySet<string> {
  if (roles === undefined) return sharedSet('[]');
  if (!Array.isArray(roles) || !roles.every((role) => typeof role === 'string'))
    throw new TypeError('claim roles');
  return sharedSet(JSON.stringify(roles));
}

const mostShared = 1_000;

// Many callers have the same client, scopes and roles; copies would be half of what is remembered of a token.
function createShared<Value>(make: (key: string) => Value): (key: string) => Value {
  const known = new Map<string, Value>();
  return (key) => {
    const value = known.get(key) ?? make(key);
    if (known.size >= mostShared) known.clear();
    known.set(key, value);
    return value;
  };
}

function thumbprintIn(confirmation: Record<string, unknown>): string {
  const { jkt, ...others } = confirmation;
  // RFC 7800, 3.1: what else a token is bound to, nobody here can verify.
  if (typeof jkt !== 'string' || !sha256Shape.test(jkt) || Object.keys(others).length > 0)
    throw new TypeError('claim cnf');
  return jkt;
}

function text(claims: Record<string, unknown>, name: string): string {
  const value = claims[name];
  if (typeof value !== 'string' || value === '') throw new TypeError(`claim ${name}`);
  return value;
}

function seconds(claims: Record<string, unknown>, name: string): number {
  const value = claims[name];
  // JSON.parse reads 1e400 as Infinity, a token that would never expire.
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new TypeError(`claim ${name}`);
  return value;
}

function record(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError(`claim ${name}`);
  return value as Record<string, unknown>;
}
