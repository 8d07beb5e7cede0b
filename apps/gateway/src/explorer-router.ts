import { explorerFiles, explorerPath, importMapHash } from '@gatehouse/explorer';
import { Router } from 'express';
import { onlyGet } from './only-get.ts';
import { pageHeaders } from './page-headers.ts';
import { serveFiles } from './static-files.ts';

// lit-html alone writes markup, and asks the browser for the right to (Trusted Types).
const directives = ["require-trusted-types-for 'script'", 'trusted-types lit-html'];

/** Serves the explorer, which is also where the bare origin leads. */
export function createExplorerRouter(): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router
    .route(['/', explorerPath.slice(0, -1)])
    .get((_req, res) => res.redirect(explorerPath))
    .all(onlyGet);
  router.use(serveFiles(explorerFiles(), pageHeaders([importMapHash], directives)));
  return router;
}
