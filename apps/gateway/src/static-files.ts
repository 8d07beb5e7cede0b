import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type IRouter, type RequestHandler, Router } from 'express';
import { onlyGet } from './only-get.ts';

export interface StaticFile {
  /** What express takes for a name of its media type: `.html`. */
  extension: string;
  read(): Buffer;
}

const compress = promisify(gzip);

/**
 * Serves files of pages by their paths and nothing else. Each is read, and compressed, when it is first asked for, and then
 * kept; a browser that has it already is told so (RFC 9110, 13.1.2).
 * @param headers of each answer
 */
export function serveFiles(
  files: Iterable<[path: string, file: StaticFile]>,
  headers: Record<string, string>,
): IRouter {
  const router = Router({ caseSensitive: true });
  for (const [path, file] of files) router.route(path).get(serveFile(file, headers)).all(onlyGet);
  return router;
}

function serveFile({ extension, read }: StaticFile, headers: Record<string, string>): RequestHandler {
  let kept: Promise<{ content: Buffer; compressed: Buffer; tag: string }> | undefined;
  const load = async () => {
    const content = read();
    const tag = createHash('sha256').update(content).digest('base64url');
    return { content, compressed: await compress(content), tag };
  };
  return async (req, res) => {
    kept ??= load();
    const { content, compressed, tag } = await kept;
    const isCompressed = req.acceptsEncodings('gzip', 'identity') === 'gzip';
    res.set({ ...headers, Vary: 'Accept-Encoding', ETag: `"${tag}${isCompressed ? '-gzip' : ''}"` });
    if (isCompressed) res.set('Content-Encoding', 'gzip');
    res.type(extension).send(isCompressed ? compressed : content);
  };
}
