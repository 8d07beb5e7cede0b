import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Html, html } from './html.ts';

/** The stylesheet of every page; its address changes with its text, so it may be cached for ever. */
export const stylesheet = readFileSync(new URL('./style.css', import.meta.url), 'utf8');

const version = createHash('sha256').update(stylesheet).digest('hex').slice(0, 12);

/** A whole page: one calm card with the name on top. */
export function layout(title: string, body: Html): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${title} · Gatehouse</title>
<link rel="stylesheet" href="/interaction/style.css?v=${version}">
</head>
<body>
<main>
<p class="brand"><span class="mark" aria-hidden="true"></span>Gatehouse</p>
${body}
</main>
</body>
</html>
`;
}

/**
 * The headers that every page carries: it loads nothing but its stylesheet, is framed by nobody, is never stored and
 * tells nobody where the visitor came from.
 * @param redirectUri where a form of the page may lead in the end, already validated against the client. Chromium holds
 * a form's whole redirect chain to `form-action`, so a callback must not redirect on to yet another origin.
 */
export function pageHeaders(redirectUri?: unknown): Record<string, string> {
  return {
    'Content-Security-Policy': [
      "default-src 'none'",
      "style-src 'self'",
      `form-action 'self'${formTarget(redirectUri)}`,
      "frame-ancestors 'none'",
      "base-uri 'none'",
    ].join('; '),
    'X-Frame-Options': 'DENY',
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-store',
  };
}

// A source that the policy's grammar cannot spell (an IPv6 address, an app's own scheme) is named by its scheme.
function formTarget(redirectUri: unknown): string {
  if (typeof redirectUri !== 'string' || !URL.canParse(redirectUri)) return '';
  const { origin, protocol } = new URL(redirectUri);
  return /^https?:\/\/[a-z0-9.-]+(:\d+)?$/.test(origin) ? ` ${origin}` : ` ${protocol}`;
}
