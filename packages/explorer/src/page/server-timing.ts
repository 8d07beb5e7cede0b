/** What a check on the way of a request has decided. */
export interface Check {
  /** The process: the gateway, or a service. */
  hop: string;
  name: string;
  verdict: string;
  /** In milliseconds, since the check before it. */
  tookMs: number;
}

/** The entries that tell of checks, `<hop>.<check>;desc="<verdict>";dur=<ms>`, in their order (W3C Server Timing). */
export function parseServerTiming(header: string): Check[] {
  const entries = header.matchAll(/([\w-]+)\.([\w-]+)(?:;desc="((?:[^"\\]|\\.)*)")?;dur=([\d.]+)/g);
  return [...entries].map(([, hop = '', name = '', verdict = '', took]) => ({
    hop,
    name,
    verdict: verdict.replaceAll(/\\(.)/g, '$1'),
    tookMs: Number(took),
  }));
}

/** The check that refused a request, if one did: the last one that its process made. */
export function refusalIn(checks: readonly Check[], status: number): Check | undefined {
  if (status < 400) return undefined;
  const made = checks.filter(({ name }) => name !== 'total');
  const ofService = made.filter(({ hop }) => hop !== 'gateway');
  return (ofService.length > 0 ? ofService : made).at(-1);
}
