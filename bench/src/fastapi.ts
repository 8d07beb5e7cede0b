import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Child } from './children.ts';
import type { VerifierSetup } from './targets/express-bearer.ts';

// The one that Debian installs packages for, whatever else is called python3.
const python = '/usr/bin/python3';
const packages = ['fastapi', 'uvicorn', 'python-jose', 'cryptography'];

/** The packages that FastAPI is measured with and their versions, or undefined where one of them is missing. */
export function fastApiVersions(): string | undefined {
  const script = 'import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))';
  try {
    const versions = execFileSync(python, ['-c', script, ...packages], { encoding: 'utf8', stdio: 'pipe' });
    const each = versions.trim().split(' ');
    return packages.map((name, i) => `${name} ${each[i]}`).join(', ');
  } catch {
    return undefined;
  }
}

/**
 * One uvicorn worker with targets/fastapi_jose.py, without an access log.
 * @param keyMade how often python-jose makes the key of its text
 */
export async function startFastApi(
  { issuer, audience, publicKeyPem }: VerifierSetup,
  keyMade: 'once' | 'each time',
): Promise<Child> {
  const folder = fileURLToPath(new URL('./targets', import.meta.url));
  const args = ['-B', '-m', 'uvicorn', '--app-dir', folder, '--port', '0', '--no-access-log'];
  const child = spawn(python, [...args, 'fastapi_jose:app'], {
    env: { ...process.env, ISSUER: issuer, AUDIENCE: audience, PUBLIC_KEY: publicKeyPem, KEY_MADE: keyMade },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  for await (const line of createInterface(child.stderr)) {
    log += `${line}\n`;
    const port = /running on http:\/\/[\d.]+:(\d+)/.exec(line)?.[1];
    if (port === undefined) continue;
    child.stderr.pipe(process.stderr);
    return { child, port: Number(port) };
  }
  throw new Error(`uvicorn did not start:\n${log}`);
}
