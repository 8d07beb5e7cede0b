import { createLocalJWKSet, errors, type JWK, jwtVerify } from 'jose';
import { z } from 'zod';

const ActorSchema = z.object({
  sub: z.string(),
  get act() {
    return ActorSchema.optional();
  },
});

/** Who acts for the subject of a token, and for whom it acts in turn (RFC 8693, 4.1). */
export type Actor = z.output<typeof ActorSchema>;

const ClaimsSchema = z.object({
  jti: z.string().min(1),
  sub: z.string().min(1),
  client_id: z.string().min(1),
  iat: z.number(),
  exp: z.number(),
  aud: z.string(),
  scope: z.string().default(''),
  gid: z.string().optional(),
  roles: z.array(z.string()).default([]),
  act: ActorSchema.optional(),
  cnf: z.object({ jkt: z.string() }).optional(),
});

/** The claims of an access token that we have signed ourselves. */
export type IssuedClaims = z.output<typeof ClaimsSchema>;

/** The claims when the text is an access token of ours that has not expired (RFC 9068), undefined when it is anything else. */
export type ReadIssuedToken = (token: string) => Promise<IssuedClaims | undefined>;

// RFC 7515, 2: other spellings verify as well, and are not let through.
const signedJwt = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** @param publicKeys the public parts of all keys that may have signed a token still alive */
export function createIssuedTokenReader(issuer: string, publicKeys: readonly JWK[]): ReadIssuedToken {
  const keySet = createLocalJWKSet({ keys: [...publicKeys] });
  return async (token) => {
    if (!signedJwt.test(token)) return undefined;
    try {
      const { payload } = await jwtVerify(token, keySet, { issuer, typ: 'at+jwt', algorithms: ['ES256'] });
      return ClaimsSchema.safeParse(payload).data;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  };
}
