import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';

interface Explanation {
  readonly hop: string;
  readonly res: ServerResponse;
  readonly startedAt: number;
  /** By check, in the order of the walk. */
  readonly entries: Map<string, string>;
  notedAt: number;
}

// Kept as the caller is: where nothing is explained, a note costs the look at a property that is not there.
const explanationKey = Symbol('explanation');

type Explained = IncomingMessage & { [explanationKey]?: Explanation };

/**
 * From here on the answer tells in Server-Timing what each check decided and how many milliseconds after the one before
 * it (W3C Server Timing): `<hop>.<check>;desc="<verdict>";dur=<ms>`. Without it noteCheck() does nothing.
 * @param hop the name of this process, a token (RFC 9110, 5.6.2)
 */
export function explain(hop: string): RequestHandler {
  return (req, res, next) => {
    const startedAt = performance.now();
    const explanation: Explanation = { hop, res, startedAt, entries: new Map(), notedAt: startedAt };
    (req as Explained)[explanationKey] = explanation;
    next();
  };
}

/**
 * Notes what a check of this request decided; its first verdict stands.
 * @param name a token (RFC 9110, 5.6.2)
 * @param verdict ASCII that the caller may read: never a claim, nor whether something exists that is kept from the caller
 */
export function noteCheck(req: IncomingMessage, name: string, verdict: string | number): void {
  const explanation = (req as Explained)[explanationKey];
  if (explanation !== undefined) note(explanation, name, verdict);
}

/** Notes the answer of the next hop as the check `name`, behind what that hop has told of its own. */
export function noteNextHop(
  req: IncomingMessage,
  name: string,
  status: number,
  serverTiming: string | string[] | undefined,
): void {
  const explanation = (req as Explained)[explanationKey];
  if (explanation === undefined) return;
  if (serverTiming !== undefined) explanation.entries.set(`behind ${name}`, String(serverTiming));
  note(explanation, name, status);
}

function note(explanation: Explanation, name: string, verdict: string | number): void {
  const { hop, res, startedAt, entries, notedAt } = explanation;
  if (entries.has(name) || res.headersSent) return;
  const now = performance.now();
  // Of ASCII, a JSON string is a quoted-string (RFC 9110, 5.6.4).
  entries.set(name, `${hop}.${name};desc=${JSON.stringify(`${verdict}`)};dur=${duration(notedAt, now)}`);
  explanation.notedAt = now;
  res.setHeader(
    'Server-Timing',
    [...entries.values(), `${hop}.total;dur=${duration(startedAt, now)}`].join(', '),
  );
}

function duration(from: number, to: number): string {
  return (to - from).toFixed(3);
}
