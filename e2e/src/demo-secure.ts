import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  authorizationCodeGrant,
  buildAuthorizationUrlWithPAR,
  fetchProtectedResource,
  getDPoPHandle,
  randomDPoPKeyPair,
} from 'openid-client';
import { client } from './clients.ts';
import { authorizationRequest, callbackUrl } from './sign-in.ts';
import { gateway } from './target.ts';

// Shows a client at work that pushes its requests, authenticates with a key and has its tokens bound to another one.
const print = (line: string) => process.stdout.write(`${line}\n`);

const config = await client('demo-secure');
const DPoP = getDPoPHandle(config, await randomDPoPKeyPair('ES256'));

const server = createServer();
server.listen(Number(process.env.CALLBACK_PORT ?? new URL(callbackUrl).port), 'localhost');
await once(server, 'listening');

const request = await authorizationRequest('openid profile:read', {}, 'demo-secure');
const url = await buildAuthorizationUrlWithPAR(config, request.url.searchParams, { DPoP });
print(`The request was pushed. Open its address within a minute, and sign in as alice:\n\n  ${url}\n`);

const callback = await callbackOf();
server.close();
const tokens = await authorizationCodeGrant(config, callback, request.checks, undefined, { DPoP });
print(`The code gave a token of the type ${tokens.token_type}.`);

const me = new URL('/users/me', gateway);
const token = tokens.access_token;
const proven = await fetchProtectedResource(config, token, me, 'GET', undefined, undefined, { DPoP });
print(`With a proof:    ${proven.status} ${await proven.text()}`);
for (const scheme of ['DPoP', 'Bearer']) {
  const { status, headers } = await fetch(me, { headers: { authorization: `${scheme} ${token}` } });
  print(`${scheme} without: ${status} ${headers.get('www-authenticate')}`);
}

/** What the browser is sent back with. */
async function callbackOf(): Promise<URL> {
  for (;;) {
    const [req, res] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
    const address = new URL(req.url ?? '/', callbackUrl);
    const isCallback = address.pathname === new URL(callbackUrl).pathname;
    res.writeHead(isCallback ? 200 : 404, { connection: 'close', 'content-type': 'text/plain' });
    res.end(isCallback ? 'Signed in: go on in the terminal.\n' : 'not here\n');
    if (isCallback) return address;
  }
}
