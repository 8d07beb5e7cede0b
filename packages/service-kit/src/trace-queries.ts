import type { Db } from './database.ts';
import { type Attributes, failureOf, isTracing, openQuerySpan } from './trace.ts';

const traced = new WeakSet<object>();

/**
 * From now on each query of `db`, and each transaction as a whole, is a span of the request that it serves. The text is
 * what Drizzle sends, with $1 where a value stands.
 * @param database what each span says about it
 */
export function traceQueries(db: Db, database: Attributes): void {
  if (isTracing()) traceSession(db, { 'db.system.name': 'postgresql', ...database });
}

function traceSession(db: Db, database: Attributes): void {
  const { session } = db._;
  // Services in one process share a database.
  if (traced.has(session)) return;
  traced.add(session);

  const prepareQuery = session.prepareQuery.bind(session);
  const transaction = session.transaction.bind(session);
  session.prepareQuery = (query, ...rest) => {
    const prepared = prepareQuery(query, ...rest);
    const execute = prepared.execute.bind(prepared);
    const operation = /\w+/.exec(query.sql)?.[0].toUpperCase() ?? 'QUERY';
    const attributes = { ...database, 'db.operation.name': operation, 'db.query.text': query.sql };
    prepared.execute = (values) => inSpan(operation, attributes, () => execute(values));
    return prepared;
  };
  session.transaction = (work, config) =>
    inSpan('TRANSACTION', { ...database, 'db.operation.name': 'TRANSACTION' }, () =>
      transaction((inner) => {
        traceSession(inner, database);
        return work(inner);
      }, config),
    );
}

async function inSpan<Result>(
  operation: string,
  attributes: Attributes,
  work: () => Promise<Result>,
): Promise<Result> {
  const target = attributes['db.namespace'];
  const span = openQuerySpan(target === undefined ? operation : `${operation} ${target}`, attributes);
  if (span === undefined) return work();
  try {
    const result = await span.run(work);
    span.end({});
    return result;
  } catch (error) {
    span.end({ failure: failureOf(error) });
    throw error;
  }
}
