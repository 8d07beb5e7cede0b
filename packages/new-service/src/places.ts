import {
  before,
  beforeKey,
  behind,
  behindLine,
  dependency,
  type Edit,
  intoLiteral,
  intoYaml,
} from './edits.ts';

/** A text that a file needs, in words about a service named notes. */
export interface Addition {
  what: string;
  added: string;
  edit: (added: string) => Edit;
}

/** A file that names every service, and what it needs to name one more. */
export interface Place {
  file: string;
  additions: readonly Addition[];
}

const literal = (opening: string) => (entry: string) => intoLiteral(opening, entry);
const line = (anchor: string) => (added: string) => behindLine(anchor, added);
const yaml = (path: readonly (string | number)[]) => (entry: string) => intoYaml(path, entry);

/** Every place that has to know of a service; `port` is where it listens. */
export const placesFor = (port: number): readonly Place[] => [
  {
    file: 'apps/auth/src/protocol/scopes.ts',
    additions: [
      {
        what: 'the scope notes:read, in plain words',
        added: `'notes:read': 'See your notes'`,
        edit: literal('const apiScopeMeanings = {'),
      },
      {
        what: 'the scope notes:write',
        added: `'notes:write': 'Add notes for you'`,
        edit: literal('const apiScopeMeanings = {'),
      },
    ],
  },
  {
    file: 'apps/gateway/src/upstreams.ts',
    additions: [
      {
        what: 'the upstream notes, at NOTES_URL',
        added: 'notes: api',
        edit: literal('export const upstreams = {'),
      },
      {
        what: 'the path /notes, by bearer token',
        added: `  { path: '/notes', to: 'notes', guard: 'bearer' },`,
        edit: line('export const forwardedPaths: readonly ForwardedPath[] = ['),
      },
    ],
  },
  {
    file: 'apps/all-in-one/package.json',
    additions: [
      {
        what: 'the dependency @gatehouse/notes',
        added: '@gatehouse/notes',
        edit: (name) => dependency(name, '0.1.0'),
      },
    ],
  },
  {
    file: 'apps/all-in-one/src/services.ts',
    additions: [
      {
        what: 'the import',
        added: `import { notes } from '@gatehouse/notes';`,
        edit: line(`import { orders } from '@gatehouse/orders';`),
      },
      {
        what: 'notes in the list that the access table is made from',
        added: 'notes',
        edit: literal('export const services = ['),
      },
    ],
  },
  {
    file: 'apps/all-in-one/src/config.ts',
    additions: [
      {
        what: `NOTES_PORT, ${port} unless given`,
        added: `NOTES_PORT: PortSchema.default(${port})`,
        edit: literal('export const servicePorts = {'),
      },
    ],
  },
  {
    file: 'apps/all-in-one/src/start.ts',
    additions: [
      {
        what: 'the import',
        added: `import { notes } from '@gatehouse/notes';`,
        edit: line(`import { items } from '@gatehouse/items';`),
      },
      {
        what: 'npm start runs it',
        added: `  const notesConfig = { ...api, PORT: config.NOTES_PORT };
  const notesUrl = await started(startService(notes, notesConfig, partsOf('notes')));
`,
        edit: (lines) => before('  const upstreams = {', lines),
      },
      {
        what: 'NOTES_URL for the gateway',
        added: 'NOTES_URL: notesUrl',
        edit: literal('const upstreams = {'),
      },
      { what: 'its address in the banner', added: 'notes: notesUrl', edit: literal('    urls: {') },
    ],
  },
  {
    file: 'e2e/src/system.ts',
    additions: [
      { what: 'NOTES_PORT, a free one', added: `'NOTES_PORT'`, edit: literal('const portVariables = [') },
    ],
  },
  {
    file: 'e2e/src/drills/processes.ts',
    additions: [
      {
        what: 'NOTES_URL for the gateway of the drills, where nothing listens',
        added: 'NOTES_URL: at(ports.NOTES_PORT)',
        edit: literal('    gateway: {'),
      },
    ],
  },
  {
    file: 'docker-compose.yml',
    additions: [
      {
        what: 'the service notes',
        added: `  notes:
    <<: *service
    build: { context: ., dockerfile: infra/docker/Dockerfile, args: { APP: notes } }
    networks: [services, data]
    environment:
      <<: *resource-server
      DATABASE_URL_FILE: /run/secrets/notes-database-url
    secrets: [notes-database-url]
    depends_on: { <<: *stores, auth: { condition: service_healthy } }

`,
        edit: (block) => beforeKey(['services'], 'redis', block),
      },
      {
        what: 'NOTES_URL for the gateway',
        added: 'NOTES_URL: http://notes:8080',
        edit: yaml(['services', 'gateway', 'environment']),
      },
      {
        what: 'the gateway waits for it',
        added: 'notes: { condition: service_healthy }',
        edit: yaml(['services', 'gateway', 'depends_on']),
      },
      {
        what: 'the secret for postgres, which makes the database',
        added: 'notes-database-url',
        edit: yaml(['services', 'postgres', 'secrets']),
      },
      {
        what: 'the file of the secret',
        added: `notes-database-url: { file: "\${SECRETS_DIR:-./infra/secrets/demo}/notes-database-url" }`,
        edit: yaml(['secrets']),
      },
    ],
  },
  {
    file: 'infra/observability/docker-compose.yml',
    additions: [
      {
        what: 'its traces and metrics',
        added: '  notes: *observed',
        edit: line('  orders: *observed'),
      },
    ],
  },
  {
    file: 'infra/observability/prometheus/prometheus.yml',
    additions: [
      {
        what: 'where its metrics are',
        added: 'notes',
        edit: yaml(['scrape_configs', 0, 'dns_sd_configs', 0, 'names']),
      },
    ],
  },
  {
    file: 'infra/observability/prometheus/rules.yml',
    additions: [
      {
        what: 'the alert that it is gone',
        added: ' or absent(up{service="notes"})',
        edit: (alternative) => behind(' or absent(up{service="orders"})', alternative),
      },
    ],
  },
];
