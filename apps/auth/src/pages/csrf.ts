import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { Problem } from '@gatehouse/service-kit';
import type { RequestHandler } from 'express';

/** The token that only a form of this interaction can carry: it is bound to the interaction and useless in another. */
export function csrfToken(secret: string | Uint8Array, interactionUid: string): string {
  return createHmac('sha256', secret).update(`interaction:${interactionUid}`).digest('base64url');
}

/** Whether a form's token is the one of this interaction, compared in constant time. */
export function isCsrfToken(secret: string | Uint8Array, interactionUid: string, token: unknown): boolean {
  const expected = Buffer.from(csrfToken(secret, interactionUid));
  const given = Buffer.from(typeof token === 'string' ? token : '');
  return given.length === expected.length && timingSafeEqual(given, expected);
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
