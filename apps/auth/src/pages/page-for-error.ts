import { isDatabaseUnavailable, type Logger, logFault, Problem } from '@gatehouse/service-kit';
import type { ErrorRequestHandler, Response } from 'express';
import { errors } from 'oidc-provider';
import { errorPage } from './error.ts';
import type { Html } from './html.ts';
import { pageHeaders } from './layout.ts';

/** Sends a page with the headers that every page carries. */
export function sendPage(res: Response, status: number, page: Html, redirectUri?: unknown): void {
  res.status(status).set(pageHeaders(redirectUri)).type('html').send(page.toString());
}

/** The exit of every error where people are and not programs: what is a problem document elsewhere is a page. */
export function pageForError(logger: Logger): ErrorRequestHandler {
  return (error, req, res, next) => {
    if (res.headersSent) return next(error);
    const { status, headers, explanation } = toFault(error);
    logFault(logger, error, { status, message: explanation }, req, res);
    res.set(headers ?? {});
    sendPage(
      res,
      status,
      errorPage(status >= 500 ? 'Something went wrong' : 'This cannot go on', explanation),
    );
  };
}

function toFault(error: unknown): { status: number; headers?: Record<string, string>; explanation: string } {
  if (error instanceof Problem) return { ...error, explanation: error.message };
  if (error instanceof errors.SessionNotFound) return { status: 400, explanation: goneAway };
  const { status } = (error ?? {}) as { status?: unknown };
  if (status === 503 || isDatabaseUnavailable(error)) {
    return { status: 503, headers: { 'Retry-After': '2' }, explanation: tryAgain };
  }
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return { status, explanation: 'The form could not be read. Nothing was changed.' };
  }
  return { status: 500, explanation: tryAgain };
}

const tryAgain = 'The fault is on our side. Please try again in a moment.';
const goneAway =
  'This page has expired, was used already, or belongs to another browser. ' +
  'Please go back to the application and start again.';
