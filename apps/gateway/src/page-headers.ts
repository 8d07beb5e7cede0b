/**
 * The headers of a page of the gateway: it runs and loads what is served here and nothing else, and is framed by nobody.
 * @param scripts the sources of scripts besides the gateway itself (CSP Level 3, 2.3.1)
 * @param directives besides, each whole
 */
export function pageHeaders(scripts: readonly string[] = [], directives: readonly string[] = []) {
  return {
    'Content-Security-Policy': [
      "default-src 'none'",
      ["script-src 'self'", ...scripts].join(' '),
      "style-src 'self'",
      "img-src 'self' data:",
      "connect-src 'self'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
      ...directives,
    ].join('; '),
    'Cross-Origin-Opener-Policy': 'same-origin',
    // Asked for again each time, and sent again only when it has changed.
    'Cache-Control': 'no-cache',
  };
}
