import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Router } from 'express';
import { onlyGet } from '../only-get.ts';
import { pageHeaders } from '../page-headers.ts';
import { type Packed, pack, type StaticFile, sendPacked, serveFiles } from '../static-files.ts';
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

/** Serves /openapi.json, and Swagger UI for it at /docs. */
export function createDocsRouter(document: ApiDocument): Router {
  const router = Router({ caseSensitive: true });
  let kept: { text: string; packed: Promise<Packed> } | undefined;
  router
    .route('/openapi.json')
    .get(async (req, res) => {
      const text = await document.text();
      if (kept?.text !== text) kept = { text, packed: pack(Buffer.from(text)) };
      const packed = await kept.packed;
      sendPacked(req, res.set('Cache-Control', 'no-cache').type('json'), packed);
    })
    .all(onlyGet);
  const read = (url: URL) => () => readFileSync(url);
  const served = Object.entries(files).map(([path, url]): [string, StaticFile] => [
    path,
    { extension: extname(fileURLToPath(url)), read: read(url) },
  ]);
  router.use(serveFiles(served, pageHeaders()));
  return router;
}
