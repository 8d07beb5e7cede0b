import { appendFileSync, readFileSync } from 'node:fs';

const file = process.env.SECRETS_FILE;

const secretFields = new Set([
  'access_token',
  'refresh_token',
  'id_token',
  'subject_token',
  'token',
  'code',
  'code_verifier',
  'device_code',
  'user_code',
  'client_secret',
  'client_assertion',
  'password',
]);

/** Notes a value that may stand in no log; `npm run e2e` looks for all of them when the run is over. */
export function remember(...values: string[]): void {
  if (file) appendFileSync(file, values.map((value) => `${JSON.stringify(value)}\n`).join(''));
}

/** Notes every field of a form or of a JSON answer that is a secret by its name. */
export function rememberFields(fields: Iterable<readonly [string, unknown]>): void {
  for (const [name, value] of fields) {
    if (secretFields.has(name) && typeof value === 'string' && value !== '') remember(value);
  }
}

/** Every value noted so far, each once. */
export function remembered(): Set<string> {
  const lines = file ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
  return new Set(lines.map((line) => JSON.parse(line)));
}
