import { X509Certificate } from 'node:crypto';
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { Server } from 'node:https';
import { createSecureContext } from 'node:tls';
import { z } from 'zod';
import { ConfigError, PortSchema } from './config.ts';
import type { Logger } from './log.ts';

/** What a process reads that may serve HTTPS itself. */
export const tlsVariables = {
  /** PEM files: the certificate with its chain, and its key. */
  TLS_CERT_FILE: z.string().optional(),
  TLS_KEY_FILE: z.string().optional(),
  /** Where plain HTTP is sent on to the issuer. */
  HTTP_REDIRECT_PORT: PortSchema.optional(),
};

/** The paths of a certificate and of its key. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
}

interface TlsConfig {
  TLS_CERT_FILE?: string | undefined;
  TLS_KEY_FILE?: string | undefined;
  HTTP_REDIRECT_PORT?: number | undefined;
  ISSUER?: string | undefined;
}

/** Refuses a certificate without its key, and TLS variables that cannot mean what they say. */
export function refineTls<Schema extends z.ZodObject>(schema: Schema): Schema {
  const rule = (name: keyof TlsConfig, message: string, isRefused: (config: TlsConfig) => boolean) => {
    const options = { path: [name], message, when: () => true };
    return (refined: Schema): Schema =>
      refined.refine((config) => !isRefused(config as TlsConfig), options) as Schema;
  };
  return [
    rule('TLS_KEY_FILE', 'is required with TLS_CERT_FILE', (c) => !!c.TLS_CERT_FILE && !c.TLS_KEY_FILE),
    rule('TLS_CERT_FILE', 'is required with TLS_KEY_FILE', (c) => !!c.TLS_KEY_FILE && !c.TLS_CERT_FILE),
    rule(
      'HTTP_REDIRECT_PORT',
      'is of use with TLS_CERT_FILE alone',
      (c) => c.HTTP_REDIRECT_PORT !== undefined && !c.TLS_CERT_FILE,
    ),
    rule(
      'ISSUER',
      'must be https with TLS_CERT_FILE',
      (c) => !!c.TLS_CERT_FILE && String(c.ISSUER ?? 'https:').startsWith('http:'),
    ),
  ].reduce((refined, apply) => apply(refined), schema);
}

/**
 * The files that a configuration names; undefined where plain HTTP is served.
 * @throws ConfigError when they are not a certificate and its key
 */
export function tlsFilesOf({
  TLS_CERT_FILE: certificate,
  TLS_KEY_FILE: key,
}: TlsConfig): TlsFiles | undefined {
  if (!certificate || !key) return undefined;
  const files = { certificate, key };
  readCertificate(files);
  return files;
}

/**
 * The certificate and the key, as node:tls takes them.
 * @throws ConfigError when they cannot be read, or are not what they should be
 */
export function readCertificate(files: TlsFiles): { cert: string; key: string } {
  const pair = { cert: read('TLS_CERT_FILE', files.certificate), key: read('TLS_KEY_FILE', files.key) };
  try {
    createSecureContext(pair);
  } catch (error) {
    // The code alone: a message might quote the file.
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError([`TLS_CERT_FILE: it and TLS_KEY_FILE are not a certificate and its key (${code})`]);
  }
  return pair;
}

function read(variable: keyof TlsConfig, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError([`${variable}: cannot be read (${code})`]);
  }
}

const lookAgainMs = 2_000;
const dayMs = 86_400_000;

/**
 * Takes over a new certificate when its files change; connections that are open keep theirs. One that is broken, or not
 * valid now, is logged, and the last good one stays; one that is to begin is taken over then.
 * @param cert what the server began with
 * @returns tells when the certificate in use expires, in epoch seconds
 */
export function followCertificate(
  server: Server,
  files: TlsFiles,
  cert: string,
  logger: Logger,
): () => number {
  let inUse = new X509Certificate(cert);
  // Clients refuse it as they would refuse a server that is not there; those that do not look go on.
  if (!isValidNow(inUse)) logger.error({ validTo: inUse.validTo }, 'the certificate is not valid now');
  let again: NodeJS.Timeout | undefined;
  const reload = () => {
    clearTimeout(again);
    try {
      const next = readCertificate(files);
      const certificate = new X509Certificate(next.cert);
      const { validFrom, validTo, validFromDate } = certificate;
      const beginsInMs = validFromDate.getTime() - Date.now();
      // Nothing else would make it be looked at again.
      if (beginsInMs > 0) again = setTimeout(reload, Math.min(beginsInMs, dayMs)).unref();
      if (!isValidNow(certificate))
        throw new ConfigError([`TLS_CERT_FILE: is valid from ${validFrom} to ${validTo} alone`]);
      server.setSecureContext(next);
      inUse = certificate;
      logger.info({ validTo }, 'the certificate was replaced');
    } catch (error) {
      logger.error({ err: error }, 'the new certificate is not used, the last good one stays');
    }
  };
  // Looking, not listening: neither a link that moves nor a volume of Docker Desktop reliably tells of a change.
  const paths = [files.certificate, files.key];
  for (const path of paths) watchFile(path, { interval: lookAgainMs, persistent: false }, reload);
  server.once('close', () => {
    clearTimeout(again);
    for (const path of paths) unwatchFile(path, reload);
  });
  return () => inUse.validToDate.getTime() / 1_000;
}

function isValidNow({ validFromDate, validToDate }: X509Certificate): boolean {
  const now = Date.now();
  return validFromDate.getTime() <= now && now < validToDate.getTime();
}
