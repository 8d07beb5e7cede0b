import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock, test } from 'node:test';
import { z } from 'zod';
import {
  ConfigError,
  FlagSchema,
  loadConfig,
  PostgresUrlSchema,
  ProcessConfigSchema,
  RedisUrlSchema,
  refineForProduction,
} from '../src/index.ts';

const Schema = z.object({
  NAME: z.string(),
  SIZE: z.coerce.number().int(),
  MODE: z.enum(['a', 'b']).default('a'),
});

test('reads the declared variables and nothing else', () => {
  const config = loadConfig(Schema, { NAME: 'x', SIZE: '3', OTHER: 'y' });
  assert.deepEqual(config, { NAME: 'x', SIZE: 3, MODE: 'a' });
});

test('lists every fault at once, without the values', () => {
  assert.throws(
    () => loadConfig(Schema, { SIZE: 'hunter2', MODE: 'c' }),
    (error: unknown) => {
      assert(error instanceof ConfigError);
      assert.deepEqual(
        error.faults.map((fault) => fault.split(':')[0]),
        ['NAME', 'SIZE', 'MODE'],
      );
      assert.match(error.message, /NAME: is required/);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    },
  );
});

test('an empty variable counts as not set', () => {
  assert.throws(() => loadConfig(Schema, { NAME: '', SIZE: '1' }), /NAME: is required/);
});

test('reads a secret from the file that NAME_FILE names', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'config-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'name');
  writeFileSync(file, 'from a file\n');
  assert.equal(loadConfig(Schema, { NAME_FILE: file, SIZE: '1' }).NAME, 'from a file');
  assert.throws(() => loadConfig(Schema, { NAME_FILE: file, NAME: 'x', SIZE: '1' }), /not both/);
  assert.throws(() => loadConfig(Schema, { NAME_FILE: join(directory, 'absent'), SIZE: '1' }), {
    faults: ['NAME_FILE: cannot be read (ENOENT)'],
  });
});

test('R40 production refuses demo data and an issuer without TLS', () => {
  const schema = refineForProduction(ProcessConfigSchema.extend({ DEMO: FlagSchema }));
  const env = { PORT: '1', ISSUER: 'http://example.com', DEMO: 'true' };
  assert.equal(loadConfig(schema, env).DEMO, true);
  assert.throws(() => loadConfig(schema, { ...env, NODE_ENV: 'production' }), {
    faults: ['DEMO: demo data is refused in production', 'ISSUER: must be https in production'],
  });
});

test('R40 what production refuses of a default is told as that, not as missing', () => {
  const schema = refineForProduction(ProcessConfigSchema.extend({ DEMO: FlagSchema.default(true) }));
  const env = { PORT: '1', ISSUER: 'https://example.com', NODE_ENV: 'production' };
  assert.throws(() => loadConfig(schema, env), { faults: ['DEMO: demo data is refused in production'] });
});

test('R40 an issuer that is no origin of HTTP is refused, in one line', () => {
  const withMore = ['/', '/path', '?query', '#fragment'].map((more) => `http://localhost:8080${more}`);
  for (const ISSUER of [...withMore, 'ftp://a', 'localhost:8080', 'localhost', 'http://', 'HTTP://a']) {
    assert.throws(
      () => loadConfig(ProcessConfigSchema, { PORT: '1', ISSUER }),
      ({ faults }: ConfigError) => /^ISSUER: [^;]+$/.test(faults.join('; ')),
      ISSUER,
    );
  }
});

test('R40 the rules of production are told beside other faults', () => {
  const schema = refineForProduction(ProcessConfigSchema.extend({ DEMO: FlagSchema }));
  const env = { NODE_ENV: 'production', PORT: 'x', ISSUER: 'http://example.com', DEMO: 'true' };
  assert.throws(
    () => loadConfig(schema, env),
    (error: unknown) => error instanceof ConfigError && error.faults.length === 3,
  );
});

test('R40 the address of a store must be one of its kind', () => {
  const schema = z.object({ DATABASE_URL: PostgresUrlSchema, REDIS_URL: RedisUrlSchema });
  const right = { DATABASE_URL: 'postgres://a:b@c/d', REDIS_URL: 'rediss://c:6380' };
  assert.deepEqual(loadConfig(schema, right), right);
  const sentinels = 'redis+sentinel://app:p%40ss@one:26379,two,[::1]:26380/main';
  assert.equal(loadConfig(schema, { ...right, REDIS_URL: sentinels }).REDIS_URL, sentinels);
  const notQuite = [
    'redis+sentinel://one:26379',
    'redis+sentinel:///main',
    'redis+sentinel://one:x/main',
    'redis+sentinel://one,,two/main',
    'redis+sentinel://a:%zz@one/main',
  ];
  for (const wrong of ['foo', 'mysql://x', 'http://x', '5432', ...notQuite]) {
    assert.throws(() => loadConfig(schema, { DATABASE_URL: wrong, REDIS_URL: wrong }), {
      faults: [
        'DATABASE_URL: must be a postgres:// URL',
        'REDIS_URL: must be a redis://, rediss:// or redis+sentinel:// URL',
      ],
    });
  }
});

test('R40 a name that is one character away from a known one brings a warning, without its value', () => {
  const schema = z.object({ MAX_IN_FLIGHT: z.string().optional(), HOST: z.string().optional() });
  const warningsOf = (names: readonly string[]) => {
    const { mock: emitted } = mock.method(process, 'emitWarning', () => {});
    try {
      loadConfig(schema, Object.fromEntries(names.map((name) => [name, 'value'])));
      return emitted.calls.map(({ arguments: [text] }) => text);
    } finally {
      emitted.restore();
    }
  };
  for (const given of [
    'MAX_INFLIGHT',
    'MAX_IN_FLIGHTS',
    'MAX_IN_FLIGHD',
    'AX_IN_FLIGHT',
    'MAX_IN_FLLIGHT_FILE',
  ])
    assert.deepEqual(warningsOf([given]), [`${given} is not read; MAX_IN_FLIGHT is`]);
  assert.deepEqual(
    warningsOf(['MAX_IN_FLIGHT', 'HOST', 'HOME', 'HOSTNAME', 'HO', 'PATH', 'MAX_FLIGHT', '']),
    [],
  );
});
