import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer, request as requestTls } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import {
  ConfigError,
  createLogger,
  type Listener,
  listen,
  loadConfig,
  refineTls,
} from '@gatehouse/service-kit/core';
import { createTestIssuer, freePort, nodeSettings, rawRequest } from '@gatehouse/test-kit';
import { allUpstreamsAt, GatewayConfigSchema, startGateway } from '../src/start.ts';
import { startTestGateway, type TestGateway, until } from './start-gateway.ts';

const origin = 'https://localhost:8443';
const host = 'localhost:8443';
const script = fileURLToPath(new URL('../../../infra/tls/make-certificates.sh', import.meta.url));
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-tls-'));
after(() => rmSync(folder, { recursive: true }));

function makeCertificates(name: string) {
  const authorityFile = execFileSync(script, [join(folder, name)], { encoding: 'utf8' }).trim();
  const files = ['certificate.pem', 'key.pem'].map((file) => join(folder, name, 'gateway', file));
  const [certificate = '', key = ''] = files;
  return { authorityFile, ca: readFileSync(authorityFile), certificate, key };
}
const ours = makeCertificates('ours');
const others = makeCertificates('others');
type Pair = Pick<ReturnType<typeof makeCertificates>, 'certificate' | 'key'>;

/** The certificate of `ours` as it would be if it had ended yesterday. */
function expired(): Pair {
  const certificate = join(folder, 'expired.pem');
  const yesterday = [
    'x509',
    '-in',
    ours.certificate,
    '-signkey',
    ours.key,
    '-days',
    '-1',
    '-out',
    certificate,
  ];
  execFileSync('openssl', yesterday, { stdio: 'ignore' });
  return { certificate, key: ours.key };
}

/** A certificate for the key of `ours` that begins at this time. */
function beginning(at: number): Pair {
  const [certificate, request, settings, database, serial] = [
    'begins',
    'request',
    'ca',
    'index',
    'serial',
  ].map((name) => join(folder, `${name}.pem`)) as [string, string, string, string, string];
  const authority = { database, serial, new_certs_dir: folder, default_md: 'sha256', policy: 'policy' };
  const lines = Object.entries(authority).map(([name, value]) => `${name}=${value}`);
  writeFileSync(
    settings,
    ['[ca]', 'default_ca=own', '[own]', ...lines, '[policy]', 'commonName=supplied', ''].join('\n'),
  );
  writeFileSync(database, '');
  writeFileSync(serial, '01\n');
  const dateOf = (time: number) => `${new Date(time).toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`;
  const openssl = (...words: string[]) => execFileSync('openssl', words, { stdio: 'ignore' });
  openssl('req', '-new', '-key', ours.key, '-subj', '/CN=localhost', '-out', request);
  const dates = ['-startdate', dateOf(at), '-enddate', dateOf(at + 86_400_000)];
  const files = ['-config', settings, '-keyfile', ours.key, '-in', request, '-out', certificate];
  openssl('ca', '-batch', '-notext', '-selfsign', ...files, ...dates);
  return { certificate, key: ours.key };
}

/** In epoch seconds. */
function expiryOf({ certificate }: Pair): number {
  return new X509Certificate(readFileSync(certificate)).validToDate.getTime() / 1_000;
}

async function expiryTold({ metrics }: TestGateway): Promise<number> {
  const shown = await metrics.registry.metrics();
  const told = /^tls_certificate_expires_timestamp_seconds\{service="gateway"\} (\d+)$/m.exec(shown)?.[1];
  return Number(told);
}

const variables = { ISSUER: origin, TLS_CERT_FILE: ours.certificate, TLS_KEY_FILE: ours.key };

const elsewhere = {
  JWKS_URI: 'http://127.0.0.1:9',
  REDIS_URL: 'redis://127.0.0.1:9',
  ...allUpstreamsAt('http://127.0.0.1:9'),
};

async function startTlsGateway(t: Parameters<typeof startTestGateway>[0], env: Record<string, string> = {}) {
  const issuer = await createTestIssuer({ issuer: origin });
  return startTestGateway(t, { issuer, env: { ...variables, ...env } });
}

async function handshake(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca: ours.ca, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

/** What comes back for these bytes on a connection of their own, until it is closed. */
async function raw(port: number, bytes: string): Promise<string> {
  const socket = await handshake(port);
  socket.on('error', () => {}).write(bytes);
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}

async function ask(socket: TLSSocket, path: string, headers = ''): Promise<string> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`);
  const [chunk] = await once(socket, 'data');
  return String(chunk);
}

test('TLS 1.2 and 1.3 are served with HSTS, and what is older is refused', async (t) => {
  // Whatever the defaults of this Node are made to be.
  const { DEFAULT_MIN_VERSION, DEFAULT_CIPHERS } = tls;
  t.after(() => Object.assign(tls, { DEFAULT_MIN_VERSION, DEFAULT_CIPHERS }));
  Object.assign(tls, { DEFAULT_MIN_VERSION: 'TLSv1', DEFAULT_CIPHERS: 'DEFAULT:@SECLEVEL=0' });
  const gateway = await startTlsGateway(t);
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = await handshake(gateway.port, { minVersion: version, maxVersion: version });
    assert.equal(socket.getProtocol(), version);
    const answer = await ask(socket, '/items', `Authorization: ${await gateway.bearer()}\r\n`);
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.match(answer, /^strict-transport-security: max-age=31536000/im);
    socket.destroy();
  }
  for (const version of ['TLSv1', 'TLSv1.1'] as const) {
    await assert.rejects(handshake(gateway.port, { minVersion: version, maxVersion: version }), {
      code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    });
  }
});

test('H05 H09 H22 H25 what is refused by HTTP is refused by HTTPS', async (t) => {
  const gateway = await startTlsGateway(t);
  const head = `GET /items HTTP/1.1\r\nHost: ${host}\r\n`;
  const cases = {
    [`${head}bad header\r\n\r\n`]: 400,
    [`${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`]: 400,
    [`${head}X: ${'a'.repeat(17_000)}\r\n\r\n`]: 431,
    [`${head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`]: 426,
    [`CONNECT evil:443 HTTP/1.1\r\nHost: ${host}\r\n\r\n`]: 405,
    'GET /items HTTP/1.1\r\nHost: evil.example\r\n\r\n': 400,
  };
  for (const [bytes, status] of Object.entries(cases)) {
    assert.match(await raw(gateway.port, bytes), new RegExp(`^HTTP/1\\.1 ${status} `), bytes.slice(0, 200));
  }
  assert.deepEqual(gateway.received, []);
});

test('the limits of a listener are the same by HTTP and by HTTPS', async (t) => {
  const address = { host: '127.0.0.1', port: 0 };
  const logger = createLogger({ level: 'silent' });
  const plain = await listen(() => {}, address);
  t.after(() => plain.close());
  const secure = await listen(() => {}, { ...address, tls: { files: ours, logger } });
  t.after(() => secure.close());
  const limitsOf = ({ server }: Listener) => {
    const { headersTimeout, requestTimeout, keepAliveTimeout, maxConnections } = server;
    return { headersTimeout, requestTimeout, keepAliveTimeout, maxConnections };
  };
  assert.deepEqual(limitsOf(secure), limitsOf(plain));
  assert.match(secure.url, /^https:/);
});

test('plain HTTP at the port of HTTPS is closed without an answer, and the next client is served', async (t) => {
  const gateway = await startTlsGateway(t);
  const socket = connect(gateway.port, '127.0.0.1').on('error', () => {});
  socket.write(`GET /items HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  let bytes = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
  });
  await once(socket, 'close');
  assert.doesNotMatch(bytes.toString('latin1'), /HTTP/);
  const next = await handshake(gateway.port);
  assert.match(await ask(next, '/health/live'), /^HTTP\/1\.1 200 /);
  next.destroy();
});

test('H26 a handshake that is never finished is cut, also when bytes trickle in', async (t) => {
  const gateway = await startTlsGateway(t);
  const silent = connect(gateway.port, '127.0.0.1').on('error', () => {});
  const slow = connect(gateway.port, '127.0.0.1').on('error', () => {});
  await Promise.all([once(silent, 'connect'), once(slow, 'connect')]);
  // The start of a ClientHello that is 16 KiB long.
  slow.write(Buffer.from([0x16, 0x03, 0x01, 0x3f, 0xff, 0x01, 0x00, 0x3f, 0xfb]));
  const trickle = setInterval(() => slow.write(Buffer.from([0x03])), 100);
  t.after(() => {
    clearInterval(trickle);
    silent.destroy();
    slow.destroy();
  });
  await Promise.all([once(silent, 'close'), once(slow, 'close')]);
});

test('a stop answers what is in flight, and waits for no handshake longer than for a request', async (t) => {
  const gateway = await startTlsGateway(t);
  const socket = await handshake(gateway.port);
  const body = '{"name":"whole"}';
  const authorization = await gateway.bearer();
  socket.write(
    `POST /items HTTP/1.1\r\nHost: ${host}\r\nAuthorization: ${authorization}\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 4)}`,
  );
  const idle = await handshake(gateway.port);
  assert.match(await ask(idle, '/health/live'), /^HTTP\/1\.1 200 /);
  const idleClosed = once(idle, 'close');
  const half = connect(gateway.port, '127.0.0.1').on('error', () => {});
  await once(half, 'connect');
  const halfClosed = once(half, 'close');
  const stopped = gateway.stop();
  await idleClosed;
  socket.write(body.slice(4));
  const [answer] = await once(socket, 'data');
  assert.match(String(answer), /^HTTP\/1\.1 200 /);
  await halfClosed;
  await stopped;
});

test('a new certificate is taken over without a lost connection, and a broken one is not', async (t) => {
  const live = { TLS_CERT_FILE: join(folder, 'live.pem'), TLS_KEY_FILE: join(folder, 'live-key.pem') };
  const install = (from: Pair) => {
    copyFileSync(from.certificate, live.TLS_CERT_FILE);
    copyFileSync(from.key, live.TLS_KEY_FILE);
  };
  install(ours);
  const gateway = await startTlsGateway(t, live);
  const kept = await handshake(gateway.port);
  const certificateNow = async () => {
    const socket = await handshake(gateway.port, { ca: [ours.ca, others.ca] });
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256;
  };
  const first = await certificateNow();
  assert.match(await ask(kept, '/health/live'), /^HTTP\/1\.1 200 /);

  writeFileSync(live.TLS_CERT_FILE, 'not a certificate');
  await until(() => gateway.log.some((line) => line.includes('the last good one stays')), 10_000);
  assert.equal(await certificateNow(), first);

  const refusals = () => gateway.log.filter((line) => line.includes('the last good one stays'));
  const before = refusals().length;
  install(expired());
  await until(() => refusals().length > before, 10_000);
  assert.match(refusals().at(-1) ?? '', /TLS_CERT_FILE: is valid from .+ GMT to .+ GMT alone/);
  assert.equal(await certificateNow(), first);
  assert.equal(await expiryTold(gateway), expiryOf(ours));

  const soon = beginning(Date.now() + 6_000);
  install(soon);
  await until(() => refusals().length > before + 1, 10_000);
  assert.equal(await expiryTold(gateway), expiryOf(ours));
  await until(() => gateway.log.some((line) => line.includes('the certificate was replaced')), 10_000);
  assert.equal(await expiryTold(gateway), expiryOf(soon), 'taken over when it began');

  const replacements = () =>
    gateway.log.filter((line) => line.includes('the certificate was replaced')).length;
  const replaced = replacements();
  install(others);
  await until(() => replacements() > replaced, 10_000);
  assert.notEqual(await certificateNow(), first);
  assert.equal(await expiryTold(gateway), expiryOf(others));
  assert.match(await ask(kept, '/health/live'), /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(gateway.log.join(''), /PRIVATE KEY/);
  kept.destroy();
});

test('R40 files that are missing or of different pairs, and half a setting, are faults of the configuration', async () => {
  const broken = join(folder, 'broken.pem');
  writeFileSync(broken, 'not a certificate');
  const { TLS_CERT_FILE, TLS_KEY_FILE } = variables;
  const cases: [Record<string, string>, RegExp][] = [
    [{ TLS_CERT_FILE }, /^TLS_KEY_FILE: is required with TLS_CERT_FILE$/],
    [{ TLS_KEY_FILE }, /^TLS_CERT_FILE: is required with TLS_KEY_FILE$/],
    [{ HTTP_REDIRECT_PORT: '0' }, /^HTTP_REDIRECT_PORT: is of use with TLS_CERT_FILE alone$/],
    [{ ...variables, ISSUER: 'http://localhost:8443' }, /^ISSUER: must be https with TLS_CERT_FILE$/],
    [{ TLS_CERT_FILE, TLS_KEY_FILE: join(folder, 'none') }, /^TLS_KEY_FILE: cannot be read \(ENOENT\)$/],
    [{ TLS_CERT_FILE: broken, TLS_KEY_FILE }, /^TLS_CERT_FILE: .* not a certificate and its key \(\w+\)$/],
    [
      { TLS_CERT_FILE, TLS_KEY_FILE: others.key },
      /^TLS_CERT_FILE: .* \(ERR_OSSL_X509_KEY_VALUES_MISMATCH\)$/,
    ],
  ];
  for (const [given, fault] of cases) {
    const env = { ISSUER: origin, ...elsewhere, ...given };
    const start = async () => startGateway(loadConfig(refineTls(GatewayConfigSchema), env));
    await assert.rejects(start, (error) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.equal(error.faults.length, 1);
      assert.match(error.faults[0] ?? '', fault);
      return true;
    });
  }
});

test('R40 a certificate that cannot be read ends the start with 78 and one line', async () => {
  const { child, output } = startProcess({ ...variables, TLS_CERT_FILE: join(folder, 'none') });
  const [code] = await once(child, 'close');
  assert.equal(code, 78);
  assert.equal(output(), 'gateway: TLS_CERT_FILE: cannot be read (ENOENT)\n');
});

test('H15 plain HTTP is sent on to the issuer by 308, whatever host is named and however', async (t) => {
  const redirectPort = await freePort();
  const gateway = await startTlsGateway(t, { HTTP_REDIRECT_PORT: String(redirectPort) });
  const cases: [string, string][] = [
    ['GET /items?limit=1 HTTP/1.1\r\nHost: localhost:8080', '/items?limit=1'],
    ['GET / HTTP/1.1\r\nHost: evil.example', '/'],
    ['GET /items HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example', '/items'],
    ['GET http://evil.example/items HTTP/1.1\r\nHost: evil.example', '/'],
    ['GET //evil.example HTTP/1.1\r\nHost: localhost', '//evil.example'],
    ['OPTIONS * HTTP/1.1\r\nHost: localhost', '/'],
    ['POST /token HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9', '/token'],
    ['GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket', '/x'],
  ];
  for (const [head, target] of cases) {
    const { text, status, closed } = await rawRequest(redirectPort, `${head}\r\n\r\n`);
    assert.deepEqual([status, closed], [308, true], head);
    assert.equal(/^location: (.*)\r$/im.exec(text)?.[1], `${origin}${target}`, head);
    assert.match(text, /^cache-control: no-store\r$/im);
    assert.doesNotMatch(text, /100 Continue/);
  }
  const { status } = await rawRequest(redirectPort, 'CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n');
  assert.notEqual(status, 200);
  await gateway.stop();
  await assert.rejects(fetch(`http://127.0.0.1:${redirectPort}`), 'it goes on after a stop');
});

test('keys and upstreams may be behind TLS of a private authority', async (t) => {
  const pair = { cert: readFileSync(ours.certificate), key: readFileSync(ours.key) };
  const issuer = await createTestIssuer();
  t.after(() => issuer.close());
  const keys = await (await fetch(issuer.jwksUri)).text();
  const upstream = createTlsServer(pair, (_req, res) => {
    res.setHeader('content-type', 'application/json').end(keys);
  }).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.after(() => upstream.close());
  const address = upstream.address();
  const url = `https://localhost:${typeof address === 'object' && address?.port}`;
  for (const [extra, status] of [
    [{ NODE_EXTRA_CA_CERTS: ours.authorityFile }, 200],
    [{}, 502],
  ] as const) {
    const port = await freePort();
    const { child, output } = startProcess({
      ...variables,
      ...allUpstreamsAt(url),
      JWKS_URI: `${url}/keys`,
      PORT: String(port),
      ...extra,
    });
    t.after(() => child.kill('SIGKILL'));
    await until(() => output().includes('listening') || child.exitCode !== null, 20_000);
    assert.equal((await get(port, '/.well-known/jwks.json')).status, status, output());
    const { checks } = JSON.parse((await get(port, '/health/ready')).text);
    assert.equal(checks.keys, status === 200 ? 'ok' : 'failing');
    child.kill('SIGTERM');
    await once(child, 'close');
  }
});

/** The gateway as a process, without a Redis that answers. */
function startProcess(env: Record<string, string>) {
  const child = spawn(process.execPath, [main], {
    env: { ...nodeSettings, PATH: process.env.PATH, PORT: '0', ...elsewhere, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
  }
  return { child, output: () => text };
}

async function get(port: number, path: string): Promise<{ status: number | undefined; text: string }> {
  const options = { host: '127.0.0.1', port, path, servername: 'localhost', ca: ours.ca, agent: false };
  const sent = requestTls({ ...options, headers: { host } }).end();
  const [res] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of res) text += chunk;
  return { status: res.statusCode, text };
}

for (const [framing, answer] of Object.entries({
  'Content-Length': (res: ServerResponse) => res.setHeader('content-length', 100),
  chunked: () => {},
})) {
  test(`R04 an upstream that dies in the middle of a ${framing} body ends the client's connection, and nobody else's`, async (t) => {
    const issuer = await createTestIssuer({ issuer: origin });
    const gateway = await startTestGateway(t, {
      issuer,
      env: variables,
      answer: async (req, res) => {
        if (req.url !== '/token') return res.end('whole');
        answer(res);
        res.write('half');
        await delay(50);
        req.socket.destroy();
      },
    });
    const kept = await handshake(gateway.port);
    assert.match(await ask(kept, '/authorize'), /^HTTP\/1\.1 200 /);
    const text = await raw(gateway.port, `GET /token HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    assert.match(text, /half/);
    assert.doesNotMatch(text, /\r\n0\r\n\r\n$/, 'a chunked body is not ended');
    assert.match(await ask(kept, '/authorize'), /^HTTP\/1\.1 200 /, 'the gateway goes on');
    kept.destroy();
  });
}
