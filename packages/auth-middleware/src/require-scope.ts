import type { RequestHandler } from 'express';
import { AuthError, schemeOf } from './auth-error.ts';
import { callerOf } from './caller.ts';
import { noteCheck } from './explain.ts';

/**
 * Lets only callers with `scope` pass; the others get 403 insufficient_scope, which names it (RFC 6750, 3.1).
 * Put it behind createAuthenticate(). Throws at once on a text that is not one scope (RFC 6749, 3.3).
 */
export function requireScope(scope: string): RequestHandler {
  if (!/^[\x21\x23-\x5B\x5D-\x7E]+$/.test(scope)) throw new TypeError(`not a scope: ${scope}`);
  // What a route demands is no secret; what the caller has is.
  const [present, missing] = [`${scope} ok`, `${scope} missing`];
  return (req, _res, next) => {
    const caller = callerOf(req);
    if (caller.scopes.has(scope)) {
      noteCheck(req, 'scope', present);
      return next();
    }
    noteCheck(req, 'scope', missing);
    throw new AuthError('insufficient_scope', `This needs the scope ${scope}`, {
      scheme: schemeOf(caller),
      scope,
    });
  };
}

/** Lets only callers with `role` pass; the others get 403. Put it behind createAuthenticate(). */
export function requireRole(role: string): RequestHandler {
  return (req, _res, next) => {
    const caller = callerOf(req);
    if (caller.roles.has(role)) {
      noteCheck(req, 'role', 'ok');
      return next();
    }
    noteCheck(req, 'role', 'missing');
    throw new AuthError('insufficient_scope', 'This needs a role that the caller does not have', {
      scheme: schemeOf(caller),
    });
  };
}
