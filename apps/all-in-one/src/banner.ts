import { demoLogins } from '@gatehouse/auth';
import type { RunningSystem } from './start.ts';

/** What a developer needs to begin: addresses, accounts, and commands that work when pasted. */
export function banner({ issuer, urls }: RunningSystem, show: { demo: boolean; password: boolean }): string {
  const addresses = [
    ['gateway', issuer],
    ['explorer', `${issuer}/explorer/`],
    ['API', `${issuer}/docs`],
    ['discovery', `${issuer}/.well-known/openid-configuration`],
    ...Object.entries(urls).filter(([name]) => name !== 'gateway'),
  ];
  const lines = ['', 'Gatehouse', '', ...addresses.map(([name, url]) => `  ${name?.padEnd(10)} ${url}`), ''];
  if (show.demo) {
    const accounts = demoLogins.map(({ username, password, roles, disabled }) => {
      return `  ${username.padEnd(10)} ${password.padEnd(18)} ${disabled ? 'disabled' : roles.join(', ')}`;
    });
    lines.push('Demo accounts', '', ...accounts, '');
  }
  if (show.demo && show.password) lines.push(...tour(issuer));
  return lines.join('\n');
}

function tour(issuer: string): string[] {
  return [
    'Sign in, call an API, revoke the token and see it refused:',
    '',
    `  TOKEN=$(curl -s ${issuer}/token -d grant_type=password -d client_id=demo-first-party -d username=alice \\`,
    `    -d password=alice-demo-pass -d 'scope=profile:read orders:read' | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')`,
    `  curl -s -w '\\n' ${issuer}/orders -H "Authorization: Bearer $TOKEN"`,
    `  curl -s ${issuer}/revoke -d client_id=demo-first-party -d token=$TOKEN; \\`,
    `    curl -si -w '\\n' ${issuer}/orders -H "Authorization: Bearer $TOKEN"`,
    '',
    '',
  ];
}
