import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { adminRoutes } from '@gatehouse/auth';
import { loadConfig, routesOf } from '@gatehouse/service-kit';
import { listenApp } from '@gatehouse/test-kit';
import { Validator } from '@seriousme/openapi-schema-validator';
import { AllInOneConfigSchema } from '../src/config.ts';
import { services } from '../src/services.ts';
import { type RunningSystem, startSystem } from '../src/start.ts';
import { anyServicePort } from './any-service-port.ts';

// biome-ignore lint/suspicious/noExplicitAny: a document is looked into at many depths
type Json = any;

suite('the document of every API', () => {
  const directory = mkdtempSync(join(tmpdir(), 'all-in-one-'));
  let system: RunningSystem;
  let document: Json;
  before(async () => {
    // The issuer names the port of the gateway before it listens.
    const { port, close } = await listenApp(() => {});
    await close();
    const env = { ...anyServicePort, PORT: String(port), DATA_DIR: directory, LOG_LEVEL: 'silent' };
    system = await startSystem(loadConfig(AllInOneConfigSchema, env));
    document = await (await fetch(`${system.issuer}/openapi.json`)).json();
  });
  after(async () => {
    await system.close();
    rmSync(directory, { recursive: true });
  });

  /** Of the document: `GET /items`, with the operation. */
  const operations = (): [name: string, operation: Json][] =>
    Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
      Object.entries<Json>(methods).map(([method, operation]): [string, Json] => [
        `${method.toUpperCase()} ${path}`,
        operation,
      ]),
    );

  test('is OpenAPI 3.1 to a validator', async () => {
    const { valid, errors } = await new Validator().validate(document);
    assert.ok(valid, JSON.stringify(errors, undefined, 2));
    assert.match(document.openapi, /^3\.1\./);
  });

  test('has every route of every service that is not for other services alone, and no other', () => {
    const ofAuth = adminRoutes({} as Parameters<typeof adminRoutes>[0]);
    const declared = [...ofAuth, ...services.flatMap((service) => routesOf(service))];
    const names = declared
      .filter((route) => route.public || !route.internal)
      .map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    assert.deepEqual(
      operations()
        .map(([name]) => name)
        .sort(),
      names.sort(),
    );
    assert.ok(declared.length > names.length, 'some are for other services');
    assert.doesNotMatch(document.info.description, /Missing/);
  });

  test('names each operation once, and each parameter of its path', () => {
    const ids = operations().map(([, { operationId }]) => operationId);
    assert.equal(new Set(ids).size, ids.length);
    for (const [name, { parameters = [] }] of operations()) {
      const inPath = parameters.filter((parameter: Json) => parameter.in === 'path' && parameter.required);
      const named = [...name.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
      assert.deepEqual(inPath.map((parameter: Json) => parameter.name).sort(), named.sort(), name);
    }
  });

  test('asks for scopes that the authorization server knows, from the server that issues tokens here', async () => {
    const { authorizationUrl, tokenUrl, scopes } =
      document.components.securitySchemes.oauth2.flows.authorizationCode;
    const metadata: Json = await (await fetch(`${system.issuer}/.well-known/openid-configuration`)).json();
    assert.equal(authorizationUrl, metadata.authorization_endpoint);
    assert.equal(tokenUrl, metadata.token_endpoint);
    assert.ok(Object.keys(scopes).length >= 7);
    const unknown = Object.keys(scopes).filter((scope) => !metadata.scopes_supported.includes(scope));
    assert.deepEqual(unknown, [], 'they have no meaning in apps/auth/src/protocol/scopes.ts');
  });

  test('tells no address but the public one', () => {
    const text = JSON.stringify(document);
    const { gateway, ...inside } = system.urls;
    for (const url of Object.values(inside)) assert.ok(!text.includes(new URL(url).host), url);
    assert.deepEqual(document.servers, [{ url: system.issuer }]);
  });
});
