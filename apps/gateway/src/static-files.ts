import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type IRouter, type Request, type RequestHandler, type Response, Router } from 'express';
import { onlyGet } from './only-get.ts';

export interface StaticFile {
  /** What express takes for a name of its media type: `.html`. */
  extension: string;
  read(): Buffer;
}

/** A body as it is, and compressed. */
export interface Packed {
  content: Buffer;
  compressed: Buffer;
  tag: string;
}

const compress = promisify(gzip);

export async function pack(content: Buffer): Promise<Packed> {
  const tag = createHash('sha256').update(content).digest('base64url');
  return { content, compressed: await compress(content), tag };
}

/** Sends it compressed to who takes that, and nothing to who has it already (RFC 9110, 13.1.2). */
export function sendPacked(req: Request, res: Response, { content, compressed, tag }: Packed): void {
  const isCompressed = req.acceptsEncodings('gzip', 'identity') === 'gzip';
  res.set({ Vary: 'Accept-Encoding', ETag: `"${tag}${isCompressed ? '-gzip' : ''}"` });
  if (isCompressed) res.set('Content-Encoding', 'gzip');
  res.send(isCompressed ? compressed : content);
}

/**
 * Serves files of pages by their paths and nothing else. Each is read, and compressed, when it is first asked for, and then
 * kept.
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
  let kept: Promise<Packed> | undefined;
  return async (req, res) => {
    kept ??= pack(read());
    const packed = await kept;
    sendPacked(req, res.set(headers).type(extension), packed);
  };
}
