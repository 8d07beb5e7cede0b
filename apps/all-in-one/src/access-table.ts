import { readFileSync, writeFileSync } from 'node:fs';
import { adminRoutes } from '@gatehouse/auth';
import { accessTable, apiAudience, routesOf } from '@gatehouse/service-kit';
import { services } from './services.ts';

const file = new URL('../../../docs/access.md', import.meta.url);
const sections = services.map((service) => {
  const { name, description, audience } = service;
  const about = `${description}. Tokens for \`${audience}\`, or for \`${apiAudience}\`.`;
  return `## ${name}\n\n${about}\n\n${accessTable(routesOf(service))}\n`;
});
// Nothing is asked of what a route stands on before a request comes.
const ofAuth = accessTable(adminRoutes({} as Parameters<typeof adminRoutes>[0]));
sections.push(
  `## auth\n\nWhat administrators see of the running system. Tokens for \`${apiAudience}\`.\n\n${ofAuth}\n`,
);
const text = `# Who may do what

Made from the routes as the code declares them, by \`npm run access\`; \`npm run check\` fails where they differ.

${sections.join('\n')}`;

if (process.argv.includes('--check')) {
  if (readFileSync(file, 'utf8') !== text) {
    process.stderr.write('docs/access.md does not say what the code declares: npm run access\n');
    process.exitCode = 1;
  }
} else {
  writeFileSync(file, text);
}
