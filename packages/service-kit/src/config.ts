import { readFileSync } from 'node:fs';
import { isRedisUrl } from '@gatehouse/redis';
import { z } from 'zod';

/** The environment does not fit the schema; `faults` has one line for each variable at fault, values left out. */
export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(`invalid configuration: ${faults.join('; ')}`);
    this.faults = faults;
  }
}

export const PortSchema = z.coerce.number().int().min(0).max(65535);
export const FlagSchema = z.stringbool();
export const UrlSchema = z.url({ protocol: /^https?$/, abort: true });
export const PostgresUrlSchema = z.url({ protocol: /^postgres(ql)?$/, error: 'must be a postgres:// URL' });
export const RedisUrlSchema = z
  .string()
  .refine(isRedisUrl, 'must be a redis://, rediss:// or redis+sentinel:// URL');

/** What every process reads; add to it with `.extend()`. */
export const ProcessConfigSchema = z.object({
  NODE_ENV: z.enum(['development', 'test', 'production']).default('development'),
  HOST: z.string().default('127.0.0.1'),
  PORT: PortSchema,
  METRICS_PORT: PortSchema.optional(),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  /** The public origin: the paths of the protocol and of the APIs stand at its root. */
  ISSUER: UrlSchema.regex(/^https?:\/\/[^/?#]+$/, 'must be an origin, without a path or a slash at its end'),
  EXPLAIN: FlagSchema.optional(),
  /** How long it goes on answering, not ready, after SIGTERM: as long as a balancer takes to see that. */
  DRAIN_DELAY_SECONDS: z.coerce.number().min(0).max(60).default(0),
});
export type ProcessConfig = z.output<typeof ProcessConfigSchema>;

/** Whether answers tell how they were decided: as EXPLAIN says, and where it says nothing, not in production. */
export function isExplained({ EXPLAIN, NODE_ENV }: Pick<ProcessConfig, 'EXPLAIN' | 'NODE_ENV'>): boolean {
  return EXPLAIN ?? NODE_ENV !== 'production';
}

/**
 * Reads the variables that the schema names, and nothing else. `NAME_FILE` gives the value of NAME as a file, and an
 * empty variable counts as not set. One whose name is a character away from such a name brings a warning.
 * @throws ConfigError that lists every fault at once
 */
export function loadConfig<Schema extends z.ZodObject>(
  schema: Schema,
  env: NodeJS.ProcessEnv,
): z.output<Schema> {
  const faults: string[] = [];
  const values: Record<string, string> = {};
  const known = Object.keys(schema.shape);
  warnOfMisspelt(known, env);
  for (const name of known) {
    const file = env[`${name}_FILE`];
    if (env[name] && file) faults.push(`${name}: set either ${name} or ${name}_FILE, not both`);
    const value = file ? readValue(name, file, faults) : env[name];
    if (value?.trim()) values[name] = value;
  }
  const parsed = schema.safeParse(values);
  for (const issue of parsed.error?.issues ?? []) {
    const name = issue.path.join('.');
    // A rule of our own may refuse a default.
    const missing = issue.code !== 'custom' && name in schema.shape && !(name in values);
    if (!(missing && faults.some((fault) => fault.startsWith(`${name}_FILE`)))) {
      faults.push(`${name}: ${missing ? 'is required' : issue.message}`);
    }
  }
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults);
  return parsed.data;
}

function warnOfMisspelt(known: readonly string[], env: NodeJS.ProcessEnv): void {
  for (const given of Object.keys(env)) {
    const name = given.replace(/_FILE$/, '');
    const meant = known.includes(name) ? undefined : known.find((other) => isOneAway(name, other));
    if (meant) process.emitWarning(`${given} is not read; ${meant} is`, 'ConfigWarning');
  }
}

/** Whether one character too many, too few or another one makes the difference. */
function isOneAway(one: string, other: string): boolean {
  const [shorter, longer] = one.length < other.length ? [one, other] : [other, one];
  let same = 0;
  while (same < shorter.length && one[same] === other[same]) same++;
  const rest = longer.slice(same + 1);
  return rest === shorter.slice(same) || rest === shorter.slice(same + 1);
}

function readValue(name: string, file: string, faults: string[]): string | undefined {
  try {
    return readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    faults.push(`${name}_FILE: cannot be read (${(error as NodeJS.ErrnoException).code})`);
    return undefined;
  }
}

/** The value of a variable that is required unless something else stands in for it. */
export function requireSetting<Value>(value: Value | undefined, name: string): Value {
  if (value === undefined) throw new ConfigError([`${name}: is required`]);
  return value;
}

/** Refuses, in production, what only a developer's machine may have: demo data, and an issuer without TLS. */
export function refineForProduction<Schema extends z.ZodObject>(schema: Schema): Schema {
  return refuseInProduction(
    refuseInProduction(schema, 'DEMO', 'demo data is refused in production', (demo) => demo === true),
    'ISSUER',
    'must be https in production',
    (issuer) => String(issuer).startsWith('http:') && !isLoopback(String(issuer)),
  );
}

/**
 * Adds a rule for one variable that holds in production alone.
 * @param isRefused is asked about the value, be the others right or wrong: every fault is listed at once
 */
export function refuseInProduction<Schema extends z.ZodObject>(
  schema: Schema,
  name: string,
  message: string,
  isRefused: (value: unknown) => boolean,
): Schema {
  const holds = (config: Record<string, unknown>) =>
    config.NODE_ENV !== 'production' || !isRefused(config[name]);
  return schema.refine((config) => holds(config as Record<string, unknown>), {
    path: [name],
    message,
    when: () => true,
  });
}

/** Whether an address leads to this machine, where TLS protects nothing. */
export function isLoopback(url: string): boolean {
  return URL.canParse(url) && ['localhost', '127.0.0.1', '[::1]'].includes(new URL(url).hostname);
}
