import { bodyOf, type Exchange } from '../exchange.ts';
import type { DecidingFile } from './deciding-files.ts';

/** What has happened. */
export interface Outcome {
  /** Whether the rule held. */
  held: boolean;
  seen: string;
}

/** A way to break a rule. */
export interface Experiment {
  id: string;
  title: string;
  sends: string;
  expects: string;
  decidedBy: DecidingFile;
  /** Browsers open windows on a click alone, and so it is run first. */
  opensWindow?: boolean;
  run(): Promise<Outcome>;
}

/** What an answer was, in words: its status, and what it says of itself. */
export function wordsOf(exchange: Exchange): string {
  const { detail, error, error_description } = (bodyOf(exchange) ?? {}) as Record<string, string | undefined>;
  const said = detail ?? error_description ?? error;
  return `${exchange.method} ${exchange.path}: ${exchange.status}${said ? `, “${said}”` : ''}`;
}

/** The outcome of one answer that must have this status. */
export function mustBe(status: number, exchange: Exchange): Outcome {
  return { held: exchange.status === status, seen: wordsOf(exchange) };
}
