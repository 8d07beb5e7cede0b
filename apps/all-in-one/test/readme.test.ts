import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AuthConfigSchema } from '@gatehouse/auth';
import { GatewayConfigSchema } from '@gatehouse/gateway';
import { items } from '@gatehouse/items';
import { orders } from '@gatehouse/orders';
import { users } from '@gatehouse/users';

const schemas = [
  { name: 'auth', config: AuthConfigSchema },
  { name: 'gateway', config: GatewayConfigSchema },
  users,
  items,
  orders,
];

for (const { name, config } of schemas) {
  test(`the README of ${name} has every variable that it reads`, () => {
    const readme = readFileSync(new URL(`../../${name}/README.md`, import.meta.url), 'utf8');
    const named = new Set(readme.match(/\b[A-Z][A-Z_]+\b/g));
    assert.deepEqual(
      Object.keys(config.shape).filter((variable) => !named.has(variable)),
      [],
    );
  });
}
