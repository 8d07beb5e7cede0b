import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createRedisDenylistWriter } from '@gatehouse/denylist';
import {
  createTestIssuer,
  freePort,
  listenApp,
  nodeSettings,
  realServer,
  startHaproxy,
  startRedis,
  type TestIssuer,
} from '@gatehouse/test-kit';
import { allUpstreamsAt } from '../src/start.ts';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** A gateway as a process of its own that can be stopped and comes back at its address. */
async function startGatewayProcess(t: TestContext, env: Record<string, string>) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess;
  const start = async () => {
    child = spawn(process.execPath, [main], {
      env: {
        ...nodeSettings,
        ...env,
        PORT: String(port),
        LOG_LEVEL: 'silent',
        DRAIN_DELAY_SECONDS: '2',
        // What a slow machine sheds is another matter.
        MAX_LOOP_DELAY_MS: '60000',
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    await until('the gateway is ready', () => {
      assert.equal(child.exitCode, null);
      return isReady(url);
    });
  };
  t.after(() => child.kill('SIGKILL'));
  await start();
  return {
    url,
    async restart() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      assert.deepEqual(await exited, [0, null]);
      await start();
    },
  };
}

/** The balancer of infra/haproxy at this port. */
async function startBalancer(
  t: TestContext,
  port: number,
  [one, two]: readonly [{ url: string }, { url: string }],
) {
  const metricsPort = await freePort();
  await startHaproxy(t, {
    file: fileURLToPath(new URL('../../../infra/haproxy/haproxy.cfg', import.meta.url)),
    env: {
      BIND: `127.0.0.1:${port}`,
      METRICS_BIND: `127.0.0.1:${metricsPort}`,
      GATEWAY_ONE: new URL(one.url).host,
      GATEWAY_TWO: new URL(two.url).host,
    },
  });
  return {
    async usesBoth() {
      const signal = AbortSignal.timeout(5_000);
      const response = await fetch(`http://127.0.0.1:${metricsPort}/metrics`, { signal });
      return (await response.text()).includes('haproxy_backend_active_servers{proxy="gateways"} 2\n');
    },
  };
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await isSo()); tries++) {
    assert.ok(tries < 600, `waited in vain: ${what}`);
    await delay(50);
  }
}

async function isReady(url: string): Promise<boolean> {
  const signal = AbortSignal.timeout(2_000);
  const response = await fetch(`${url}/health/ready`, { signal }).catch(() => undefined);
  await response?.body?.cancel();
  return response?.ok === true;
}

/** Asks again and again, over kept connections, until it is stopped; what is not answered with 200 comes back then. */
function startLoad(url: string, issuer: TestIssuer) {
  const failures: string[] = [];
  let count = 0;
  let isOver = false;
  const clients = Array.from({ length: 8 }, async (_, client) => {
    const authorization = `Bearer ${await issuer.sign({ aud: 'urn:gatehouse:api' })}`;
    while (!isOver) {
      const request =
        client % 2 === 0
          ? { headers: { authorization } }
          : { method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body: '{}' };
      const signal = AbortSignal.timeout(8_000);
      try {
        const response = await fetch(`${url}/items`, { ...request, signal });
        await response.text();
        if (response.status !== 200) failures.push(String(response.status));
      } catch (error) {
        failures.push(String(error));
      }
      count += 1;
      await delay(10);
    }
  });
  return {
    async stop() {
      isOver = true;
      await Promise.all(clients);
      return { failures, count };
    },
  };
}

test('R18 R19 two gateways behind a balancer are restarted in turn, three times over, and no request of the load fails', {
  ...realServer('redis'),
  ...realServer('haproxy'),
  timeout: 240_000,
}, async (t) => {
  const issuer = await createTestIssuer();
  t.after(issuer.close);
  const redis = await startRedis(t);
  const denylist = createRedisDenylistWriter({ url: redis.url });
  t.after(() => denylist.close());
  await denylist.markComplete();
  const upstream = await listenApp((req, res) => {
    // Some are always in flight when a gateway is told to stop.
    req.resume().once('end', () => setTimeout(() => res.end('{}'), Math.random() * 300));
  });
  t.after(upstream.close);
  const port = await freePort();
  const env = {
    ISSUER: issuer.issuer,
    JWKS_URI: issuer.jwksUri,
    REDIS_URL: redis.url,
    ...allUpstreamsAt(upstream.url),
    ALLOWED_HOSTS: `127.0.0.1:${port}`,
    TRUSTED_PROXIES: '127.0.0.1',
  };
  const gateways = [await startGatewayProcess(t, env), await startGatewayProcess(t, env)] as const;
  const balancer = await startBalancer(t, port, gateways);
  const load = startLoad(`http://127.0.0.1:${port}`, issuer);
  t.after(load.stop);
  for (let round = 0; round < 3; round++) {
    for (const gateway of gateways) {
      await gateway.restart();
      await until('the balancer sees that it is back', balancer.usesBoth);
    }
  }
  const { failures, count } = await load.stop();
  assert.deepEqual(failures, []);
  assert.ok(count > 500, String(count));
  t.diagnostic(`${count} requests`);
});
