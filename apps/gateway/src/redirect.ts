import type { RequestListener } from 'node:http';

const originForm = /^\/[!-~]*$/;

/** Sends whoever comes by plain HTTP to the same target at the issuer, whatever host they have named. */
export function redirectTo(issuer: string): RequestListener {
  return ({ url = '' }, res) => {
    const headers = {
      Location: `${issuer}${originForm.test(url) ? url : '/'}`,
      // Browsers would otherwise keep it for as long as they like.
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'Content-Length': '0',
      Connection: 'close',
    };
    res.writeHead(308, headers).end();
  };
}
