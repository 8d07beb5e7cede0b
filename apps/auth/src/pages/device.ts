import { type Client, type ErrorOut, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { renderError } from './error.ts';
import { type Html, html } from './html.ts';
import { layout, pageHeaders } from './layout.ts';

/** Whoever asks has tried so many wrong user codes that no further one is looked at for a while. */
export class TooManyGuesses extends errors.OIDCProviderError {
  readonly waitSeconds: number;
  override error_description = 'too many wrong codes';
  constructor(waitSeconds: number) {
    super(429, 'too_many_requests');
    this.waitSeconds = waitSeconds;
  }
}

/**
 * Asks for the code that a device shows, or tells how that went wrong: the `userCodeInputSource` of oidc-provider
 * (RFC 8628, section 3.3). A code from the address is filled in, and still has to be confirmed.
 */
export function codeInputPage(ctx: KoaContextWithOIDC, _form: string, out?: ErrorOut, err?: Error): void {
  if (err instanceof TooManyGuesses) sendTooManyGuesses(ctx, err);
  else if (err?.name === 'AbortedError') sendNotConnected(ctx);
  else if (out && ctx.status >= 500) renderError(ctx, out);
  else if (err instanceof errors.SessionNotFound) sendOver(ctx);
  else if (err && ctx.oidc.session?.exp === undefined) sendOver(ctx);
  else sendForm(ctx, err);
}

function sendForm(ctx: KoaContextWithOIDC, err: Error | undefined): void {
  const fault = err && (faults[err.name] ?? 'This form has expired. Please enter the code again.');
  if (err && ctx.status < 400) ctx.status = 400;
  const { userCode = ctx.state.userCode } = (err ?? {}) as { userCode?: string };
  const code = typeof userCode === 'string' && userCode.length <= longestEcho ? userCode : '';
  send(
    ctx,
    fault === undefined ? 'Connect a device' : 'Not connected: try again',
    html`<h1>Connect a device</h1>
<p class="lead">Enter the code that your device shows.</p>
${fault !== undefined && html`<p class="fault" id="fault" role="alert">${fault}</p>`}
<form method="post" action="/device">
<input type="hidden" name="xsrf" value="${xsrfOf(ctx)}">
<label for="user_code">Code</label>
<input id="user_code" name="user_code" value="${code}" autocomplete="off" autocapitalize="characters" autocorrect="off" spellcheck="false" required autofocus${fault !== undefined && html` aria-invalid="true" aria-describedby="fault"`}>
<div class="actions">
<button class="primary">Next</button>
</div>
</form>`,
  );
}

/** Has the user compare the code and the client before anything else: the `userCodeConfirmSource` (RFC 8628, section 5.4). */
export function codeConfirmPage(
  ctx: KoaContextWithOIDC,
  _form: string,
  client: Client,
  _deviceInfo: unknown,
  userCode: string,
): void {
  send(
    ctx,
    'Is this your device?',
    html`<h1>Is this your device?</h1>
<p class="lead"><strong><bdi>${client.clientName ?? client.clientId}</bdi></strong> asks for access to your account. Go on only if you started this yourself, and if the device in front of you shows this code:</p>
<p class="user-code">${userCode}</p>
<form method="post" action="/device">
<input type="hidden" name="xsrf" value="${xsrfOf(ctx)}">
<input type="hidden" name="user_code" value="${userCode}">
<div class="actions">
<button class="primary" name="confirm" value="yes">Continue</button>
<button name="abort" value="yes">This is not my device</button>
</div>
</form>`,
  );
}

/** Tells that the device has its access: the `successSource`. */
export function deviceConnectedPage(ctx: KoaContextWithOIDC): void {
  const { client } = ctx.oidc;
  send(
    ctx,
    'Device connected',
    html`<h1>Device connected</h1>
<p class="lead" role="status"><strong><bdi>${client?.clientName ?? client?.clientId}</bdi></strong> has its access. Go on there; you may close this page.</p>`,
  );
}

const wrongCode =
  'That code is not right, has expired, or was used already. Please look at your device again.';
const faults: Record<string, string> = {
  NoCodeError: 'Please enter the code that your device shows.',
  NotFoundError: wrongCode,
  ExpiredError: wrongCode,
  AlreadyUsedError: wrongCode,
};

const longestEcho = 32;

// Also of who loads the last page again, whose device is connected. In a browser without a session the library would store
// the new one where it cannot (`persist` throws).
function sendOver(ctx: KoaContextWithOIDC): void {
  Object.assign(ctx.oidc.session ?? {}, { touched: false });
  send(
    ctx,
    'This page is over',
    html`<h1>This page is over</h1>
<p class="lead" role="alert">This page has expired, was used already, or belongs to another browser. If your device still waits, please <a href="/device">enter its code again</a>.</p>`,
  );
}

function sendTooManyGuesses(ctx: KoaContextWithOIDC, { waitSeconds }: TooManyGuesses): void {
  const minutes = Math.ceil(waitSeconds / 60);
  ctx.set('Retry-After', String(waitSeconds));
  send(
    ctx,
    'Too many wrong codes',
    html`<h1>Too many wrong codes</h1>
<p class="lead" role="alert">Please wait ${minutes} ${minutes === 1 ? 'minute' : 'minutes'}, have your device show a new code, and try again.</p>`,
  );
}

function sendNotConnected(ctx: KoaContextWithOIDC): void {
  send(
    ctx,
    'Device not connected',
    html`<h1>Device not connected</h1>
<p class="lead" role="status">It has been told that you refused, and has no access. You may close this page.</p>`,
  );
}

function send(ctx: KoaContextWithOIDC, title: string, body: Html): void {
  ctx.set(pageHeaders());
  ctx.type = 'html';
  ctx.body = layout(title, body).toString();
}

// The library binds its form token to the session, and checks it.
function xsrfOf({ oidc }: KoaContextWithOIDC): string {
  return String(oidc.session?.state?.secret);
}
