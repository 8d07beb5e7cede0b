export type Claims = Record<string, unknown>;

/** A part of a JWT as it stands there, unverified; empty when it is none (RFC 7519, 3). */
function decodePart(part = ''): Claims {
  try {
    const binary = atob(part.replaceAll('-', '+').replaceAll('_', '/'));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0))));
  } catch {
    return {};
  }
}

export const decodeHeader = (token: string): Claims => decodePart(token.split('.')[0]);

export const decodeClaims = (token: string): Claims => decodePart(token.split('.')[1]);

const meanings: Record<string, string> = {
  // Of the header.
  alg: 'How it is signed. A verifier takes the one algorithm that it expects, whatever stands here.',
  kid: 'Which of the published keys it is signed with.',
  typ: 'What kind of token it is: at+jwt is an access token, so an ID token cannot pass for one (RFC 9068).',
  // Of the payload.
  iss: 'Who issued it. Every verifier knows the one issuer that it trusts.',
  sub: 'Whom it speaks for: the account, by an id that never changes.',
  aud: 'Whom it is meant for. A service takes tokens for the API or for itself, and no others.',
  exp: 'When it ends. After that second nobody takes it.',
  iat: 'When it was issued.',
  nbf: 'From when on it is good.',
  jti: 'Its own name. Revocation puts this, never the token, on the denylist.',
  gid: 'The grant that it came from. Revoking the grant ends every token with it at once.',
  client_id: 'Which application got it.',
  scope: 'What it may be used for: never more than was asked for, and consented to.',
  roles: 'What the account is, besides what the token may do. Some routes ask for both.',
  act: 'Who acts for the subject: a service that has exchanged the token (RFC 8693).',
  cnf: 'The key that it is bound to. Without a proof by that key it is worth nothing (RFC 9449).',
  nonce: 'Chosen by the application for this sign-in, so that no other answer can be slipped in.',
  auth_time: 'When somebody last proved who they are.',
  at_hash: 'A part of the hash of the access token that came with it.',
  s_hash: 'A part of the hash of the state.',
  sid: 'The session at the authorization server; back-channel logout names it.',
  amr: 'How they proved it: pwd is a password.',
  name: 'What the account is called.',
  preferred_username: 'What the account signs in as.',
  updated_at: 'When the profile last changed.',
  email: 'The e-mail address of the account.',
  email_verified: 'Whether the address has been proven.',
};

/** What a claim or a header parameter means, in a sentence. */
export const meaningOf = (name: string): string => meanings[name] ?? 'Nothing here depends on it.';

/** A value as people read it: moments of time besides as such. */
export function wordsOf(name: string, value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const isMoment = ['exp', 'iat', 'nbf', 'auth_time', 'updated_at'].includes(name);
  return isMoment && typeof value === 'number'
    ? `${text} (${new Date(value * 1000).toLocaleTimeString()})`
    : text;
}
