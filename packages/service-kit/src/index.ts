export * from './core.ts';
export {
  type Database,
  type DatabaseSource,
  type Db,
  openDatabase,
} from './database.ts';
export { isDatabaseUnavailable, isDuplicate } from './database-errors.ts';
export { createPageSchema, type PageQuery, PageQuerySchema, selectPage } from './page.ts';
export { contains, insertedRow, secondsFromNow } from './queries.ts';
export {
  ClientConfigSchema,
  routesOf,
  runService,
  type Service,
  type ServiceConfig,
  ServiceConfigSchema,
  type SharedParts,
  startService,
} from './start-service.ts';
export { createVersionedRows, nextVersion, requireChanged } from './versions.ts';
