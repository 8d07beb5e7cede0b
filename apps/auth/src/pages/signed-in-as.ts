import { type Html, html } from './html.ts';

/** Who is signed in: the name, and the username where it is another one. */
export function signedInAs({ username, displayName }: { username: string; displayName: string }): Html {
  return html`You are signed in as <strong><bdi>${displayName}</bdi></strong>${
    displayName !== username && html` (<bdi>${username}</bdi>)`
  }`;
}
