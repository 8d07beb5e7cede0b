import { createHmac, timingSafeEqual } from 'node:crypto';
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
 * Lets only forms of our own pages through: what a browser says about the sender must name `issuer`'s origin.
 * A client that says nothing is no browser, and a forged request is the work of a browser.
 */
export function refuseCrossSite(issuer: string): RequestHandler {
  const { origin: ownOrigin } = new URL(issuer);
  return (req, _res, next) => {
    const { origin = ownOrigin, 'sec-fetch-site': site } = req.headers;
    // Our pages send no referrer, and for that a browser calls their origin null: then it must vouch for them itself.
    const isOwn = site === undefined ? origin === ownOrigin : site === 'same-origin';
    if (!isOwn || (origin !== ownOrigin && origin !== 'null')) {
      throw new Problem(403, 'This form was not sent by a page of Gatehouse. Nothing was changed.');
    }
    next();
  };
}
