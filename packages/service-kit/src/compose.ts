import type { NextFunction, Request, RequestHandler, Response } from 'express';

/**
 * One handler that is all of these in turn; what one of them throws, rejects with or hands to `next` leaves it as its error.
 * Express does the same for the handlers of an app, but makes a kilobyte of objects for each that a request passes.
 */
export function compose(...handlers: readonly RequestHandler[]): RequestHandler {
  return (req, res, next) => pass(handlers, 0, req, res, next);
}

function pass(
  handlers: readonly RequestHandler[],
  at: number,
  req: Request,
  res: Response,
  leave: NextFunction,
): void {
  const next = (error?: unknown) => {
    // Express takes null for none as well; whoever comes next may be a guard.
    if (!error && at + 1 < handlers.length) pass(handlers, at + 1, req, res, leave);
    else leave(error);
  };
  try {
    const done: unknown = handlers[at]?.(req, res, next);
    if (done instanceof Promise) done.catch((error) => leave(reasonOf(error)));
  } catch (error) {
    leave(reasonOf(error));
  }
}

function reasonOf(error: unknown): unknown {
  return error || new Error('a handler failed and did not say why');
}
