import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { Problem } from '@gatehouse/service-kit';
import type { Request, RequestHandler } from 'express';
import { formField } from './form-field.ts';

/**
 * The token that only a form of ours can carry.
 * @param purpose the form and whose it is: an interaction, a session, a browser; the token is good for nothing else
 */
export function csrfToken(secret: string | Uint8Array, purpose: string): string {
  return createHmac('sha256', secret).update(`interaction:${purpose}`).digest('base64url');
}

/** Whether this is the token for `purpose`, compared in constant time. */
export function isCsrfToken(secret: string | Uint8Array, purpose: string, token: unknown): boolean {
  const expected = Buffer.from(csrfToken(secret, purpose));
  const given = Buffer.from(typeof token === 'string' ? token : '');
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** @throws Problem 403 unless the form in the request has the token for `purpose` */
export function requireCsrfToken(secret: string | Uint8Array, purpose: string, req: Request): void {
  if (isCsrfToken(secret, purpose, formField(req, 'csrf'))) return;
  throw new Problem(
    403,
    'This form has expired, or is not one that we made for you. Nothing was changed: please open its page anew.',
  );
}

/**
 * Whether a form was sent by our own pages: what a browser says about the sender must name `issuer`'s origin.
 * A client that says nothing is no browser, and a forged request is the work of a browser.
 */
export function isFromOwnPage(headers: IncomingHttpHeaders, issuer: string): boolean {
  const { origin: ownOrigin } = new URL(issuer);
  const { origin = ownOrigin, 'sec-fetch-site': site } = headers;
  // Our pages send no referrer, and for that a browser calls their origin null: then it must vouch for them itself.
  const isOwn = site === undefined ? origin === ownOrigin : site === 'same-origin';
  return isOwn && (origin === ownOrigin || origin === 'null');
}

/** Lets only forms of our own pages through. */
export function refuseCrossSite(issuer: string): RequestHandler {
  return (req, _res, next) => {
    if (!isFromOwnPage(req.headers, issuer)) {
      throw new Problem(403, 'This form was not sent by a page of Gatehouse. Nothing was changed.');
    }
    next();
  };
}
