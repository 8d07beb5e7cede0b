import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchSetup } from './target.ts';

/** The version of the installed haproxy, or undefined where there is none. */
export function haproxyVersion(): string | undefined {
  try {
    return /version (\S+?)[-+ ]/.exec(execFileSync('haproxy', ['-v'], { encoding: 'utf8' }))?.[1];
  } catch {
    return undefined;
  }
}

/** HAProxy on one thread that verifies tokens, issuer, audience and expiry on every request. */
export async function startHaproxy(setup: BenchSetup): Promise<{ child: ChildProcess; port: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
  const key = join(directory, 'key.pem');
  const config = join(directory, 'haproxy.cfg');
  const port = await freePort();
  writeFileSync(key, setup.publicKeyPem);
  writeFileSync(
    config,
    `global
  nbthread 1
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 10s
frontend gateway
  bind 127.0.0.1:${port}
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('$.alg')
  http-request set-var(txn.iss) http_auth_bearer,jwt_payload_query('$.iss')
  http-request set-var(txn.aud) http_auth_bearer,jwt_payload_query('$.aud')
  http-request set-var(txn.exp) http_auth_bearer,jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless { var(txn.alg) -m str ${setup.alg} }
  http-request deny deny_status 401 unless { var(txn.iss) -m str ${setup.issuer} }
  http-request deny deny_status 401 unless { var(txn.aud) -m str ${setup.audience} }
  http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"${key}") -m int 1 }
  default_backend upstream
backend upstream
  server one ${new URL(setup.upstreamUrl).host}
`,
  );
  const child = spawn('haproxy', ['-db', '-f', config], { stdio: ['ignore', 'ignore', 'inherit'] });
  await delay(500);
  return { child, port };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
