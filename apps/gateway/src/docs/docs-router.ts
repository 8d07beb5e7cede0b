import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Router } from 'express';
import { onlyGet } from '../only-get.ts';
import type { ApiDocument } from './api-document.ts';

const own = (file: string) => new URL(`./page/${file}`, import.meta.url);
const swaggerUi = (file: string) => new URL(import.meta.resolve(`swagger-ui-dist/${file}`));

/** Everything that the page is made of, and nothing else that lies beside it. */
const files = {
  '/docs': own('index.html'),
  '/docs/initializer.js': own('initializer.js'),
  '/docs/style.css': own('style.css'),
  '/docs/oauth2-redirect.html': own('oauth2-redirect.html'),
  '/docs/oauth2-redirect.js': own('oauth2-redirect.js'),
  '/docs/swagger-ui.css': swaggerUi('swagger-ui.css'),
  '/docs/swagger-ui-bundle.js': swaggerUi('swagger-ui-bundle.js'),
  '/docs/favicon-32x32.png': swaggerUi('favicon-32x32.png'),
};

const headers = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; '),
  'Cross-Origin-Opener-Policy': 'same-origin',
  // Asked for again each time, and sent again only when it has changed.
  'Cache-Control': 'no-cache',
};

/** Serves /openapi.json, and Swagger UI for it at /docs. */
export function createDocsRouter(document: ApiDocument): Router {
  const router = Router({ caseSensitive: true });
  router
    .route('/openapi.json')
    .get(async (_req, res) => {
      res
        .set('Cache-Control', 'no-cache')
        .type('json')
        .send(await document.text());
    })
    .all(onlyGet);
  for (const [path, url] of Object.entries(files)) {
    const content = readFileSync(url);
    const tag = createHash('sha256').update(content).digest('base64url');
    router
      .route(path)
      .get((_req, res) => {
        res
          .set({ ...headers, ETag: `"${tag}"` })
          .type(extname(fileURLToPath(url)))
          .send(content);
      })
      .all(onlyGet);
  }
  return router;
}
