import assert from 'node:assert/strict';
import { assertDocumented } from './documented.ts';
import { remember, rememberFields } from './secrets.ts';

export interface Answer<Body> {
  status: number;
  headers: Headers;
  text: string;
  /** The parsed JSON; undefined when the answer is something else. */
  body: Body;
}

/** RFC 9457 problem details, with the id of the request. */
export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail?: string;
  instance?: string;
  requestId: string;
  errors?: { pointer: string; detail: string }[];
}

interface CallOptions {
  method?: string;
  token?: string | undefined;
  json?: unknown;
  form?: Record<string, string>;
  /** A body that is sent as it stands. */
  body?: string | Uint8Array<ArrayBuffer>;
  headers?: Record<string, string>;
}

const answerWithinMs = 10_000;

/** One HTTP exchange, redirects not followed; every answer is held to H34 and to the documentation on the way. */
export async function call<Body = ProblemBody>(
  url: string,
  options: CallOptions = {},
): Promise<Answer<Body>> {
  const { token, json, form } = options;
  const headers = new Headers(options.headers);
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
  if (json !== undefined) headers.set('content-type', 'application/json');
  const body = json !== undefined ? JSON.stringify(json) : form ? new URLSearchParams(form) : options.body;
  const sends = body !== undefined;
  const method = options.method ?? (sends ? 'POST' : 'GET');
  const response = await fetch(url, {
    method,
    headers,
    redirect: 'manual',
    signal: AbortSignal.timeout(answerWithinMs),
    ...(sends && { body }),
  });
  const text = await response.text();
  const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '');
  const parsed = isJson && text !== '' ? JSON.parse(text) : undefined;
  if (token !== undefined) remember(token);
  if (form) rememberFields(Object.entries(form));
  if (parsed) rememberFields(Object.entries(parsed));
  assertHardened(response.headers, url);
  await assertDocumented(method, url, { status: response.status, headers: response.headers, text });
  return { status: response.status, headers: response.headers, text, body: parsed };
}

/** H34: the answer does not say what made it, and is what its content type says. */
export function assertHardened(headers: Headers, url: string): void {
  assert.equal(headers.get('server'), null, `${url} names its server`);
  assert.equal(headers.get('x-powered-by'), null, `${url} names its framework`);
  assert.equal(headers.get('x-content-type-options'), 'nosniff', `${url} lacks nosniff`);
}

/** The answer is a complete problem document of this status, and tells nothing about the inside (T12, T13). */
export function assertProblem(answer: Answer<ProblemBody>, status: number): ProblemBody {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json\b/);
  assert.match(answer.headers.get('cache-control') ?? '', /\bno-store\b/);
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  const { body, text } = answer;
  assert.equal(body.status, status);
  assert.equal(typeof body.type, 'string');
  assert.ok(body.title.length > 0);
  assert.equal(body.requestId, answer.headers.get('x-request-id'));
  assert.doesNotMatch(text, /127\.0\.0\.1|localhost|node_modules|\bat .+:\d+:\d+|\bselect\b.+\bfrom\b/i);
  return body;
}

/** The answer refuses the token as RFC 6750 section 3.1 says. */
export function assertRefusedToken(answer: Answer<ProblemBody>): void {
  assertProblem(answer, 401);
  assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer .*error="invalid_token"/);
}

/** The answer refuses a good token, and names the scope that it lacks (T11). */
export function assertMissingScope(answer: Answer<ProblemBody>, scope: string): void {
  assertProblem(answer, 403);
  const challenge = answer.headers.get('www-authenticate') ?? '';
  assert.match(challenge, /^Bearer .*error="insufficient_scope"/);
  assert.ok(challenge.includes(`scope="${scope}"`), challenge);
}
