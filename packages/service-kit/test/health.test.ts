import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listenApp } from '@gatehouse/test-kit';
import express from 'express';
import { createHealth, createLogger, createMetrics, listenMetrics } from '../src/index.ts';

const logger = createLogger({ name: 'test', level: 'silent' });

test('ready tells which check fails and why to nobody; live goes on answering', async (t) => {
  let broken = false;
  const lines: string[] = [];
  const heard = createLogger({ name: 'test', level: 'info' }, { write: (line) => void lines.push(line) });
  const said = () => lines.map((line) => JSON.parse(line).msg);
  const health = createHealth(
    {
      database: () => {
        if (broken) throw new Error('password is hunter2');
      },
    },
    heard,
  );
  const listening = await listenApp(express().use('/health', health.router));
  t.after(() => listening.close());
  const ready = () => fetch(`${listening.url}/health/ready`);

  assert.equal((await ready()).status, 200);
  broken = true;
  const [res] = await Promise.all([ready(), ready()]);
  assert.equal(res.status, 503);
  assert.deepEqual(await res.json(), { status: 'unready', checks: { database: 'failing' } });
  assert.equal((await fetch(`${listening.url}/health/live`)).status, 200);
  assert.equal((await ready()).status, 503);
  assert.deepEqual(said(), ['health check failed'], 'once, whoever asks');
  broken = false;
  assert.equal((await ready()).status, 200);
  const { status, headers } = await ready();
  assert.deepEqual([status, headers.get('cache-control')], [200, 'no-store']);
  assert.deepEqual(said(), ['health check failed', 'health check passes again']);
  health.drain();
  assert.equal(((await (await ready()).json()) as { status: string }).status, 'draining');
  assert.equal((await ready()).status, 503);
});

test('a check that hangs fails after its deadline', async (t) => {
  const health = createHealth({ database: () => new Promise<void>(() => {}) }, logger);
  const listening = await listenApp(express().use('/health', health.router));
  t.after(() => listening.close());
  assert.equal((await fetch(`${listening.url}/health/ready`)).status, 503);
});

test('metrics of several services are served on a port of their own', async (t) => {
  const users = createMetrics('users');
  const items = createMetrics('items', users.registry);
  users.observeRequest('GET', '/users/me', 200, 0.01);
  items.observeRequest('BREW', '/items', 405, 0.01);
  items.countVerdict('expired');
  const listener = await listenMetrics(users.registry, { host: '127.0.0.1', port: 0 }, logger);
  t.after(() => listener.close());
  const text = await (await fetch(`${listener.url}/metrics`)).text();
  assert.match(
    text,
    /http_request_duration_seconds_count\{service="users",method="GET",route="\/users\/me",status="200"\} 1/,
  );
  assert.match(text, /http_request_duration_seconds_count\{service="items",method="OTHER",.*\} 1/);
  assert.match(text, /auth_verdicts_total\{service="items",verdict="expired"\} 1/);
  assert.match(text, /nodejs_eventloop_lag_seconds/);
  const other = await fetch(`${listener.url}/`);
  assert.equal(other.status, 404);
  assert.equal(other.headers.get('content-type'), 'application/problem+json; charset=utf-8');
  assert.doesNotMatch(await other.text(), /node_modules|file:|at /);
});
