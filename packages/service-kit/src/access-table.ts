import { type Route, roleBeside } from './route.ts';

/** Who may use each of these routes, as a Markdown table in the order of their paths. */
export function accessTable(routes: readonly Route[]): string {
  const rows = routes.map((declared) => {
    const { method, path } = declared;
    const cells = declared.public ? ['everybody', '', '', ''] : demandsOf(declared);
    return { path, row: `| ${[`\`${method.toUpperCase()} ${path}\``, ...cells].join(' | ')} |` };
  });
  const sorted = rows.sort((a, b) => (a.path < b.path ? -1 : Number(a.path > b.path)));
  const head = ['| route | scope | role | token | resources |', '| --- | --- | --- | --- | --- |'];
  return [...head, ...sorted.map(({ row }) => row)].join('\n');
}

function demandsOf({ scope, role = '', user, internal, owner }: Exclude<Route, { public: true }>): string[] {
  const token = [user && 'of a user', internal && 'made for this service alone'].filter(Boolean).join(', ');
  const other = roleBeside(owner);
  const others = other === undefined ? '; others are 404' : `, or any for role \`${other}\`; others are 403`;
  return [`\`${scope}\``, role, token, owner === undefined ? '' : `the caller's${others}`];
}
