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

/** A text that a file needs, in words about a service named sticky-notes. */
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
        what: 'the scope sticky-notes:read, in plain words',
        added: `'sticky-notes:read': 'See your sticky notes'`,
        edit: literal('const apiScopeMeanings = {'),
      },
      {
        what: 'the scope sticky-notes:write',
        added: `'sticky-notes:write': 'Add sticky notes for you'`,
        edit: literal('const apiScopeMeanings = {'),
      },
    ],
  },
  {
    file: 'apps/gateway/src/upstreams.ts',
    additions: [
      {
        what: 'the upstream sticky-notes, at STICKY_NOTES_URL',
        added: `'sticky-notes': api`,
        edit: literal('export const upstreams = {'),
      },
      {
        what: 'the path /sticky-notes, by bearer token',
        added: `  { path: '/sticky-notes', to: 'sticky-notes', guard: 'bearer' },`,
        edit: line('export const forwardedPaths: readonly ForwardedPath[] = ['),
      },
    ],
  },
  {
    file: 'apps/gateway/README.md',
    additions: [
      {
        what: 'STICKY_NOTES_URL among its variables',
        added: ', `STICKY_NOTES_URL`',
        edit: (variable) => before(' | the upstreams |', variable),
      },
    ],
  },
  {
    file: 'apps/all-in-one/package.json',
    additions: [
      {
        what: 'the dependency @gatehouse/sticky-notes',
        added: '@gatehouse/sticky-notes',
        edit: (name) => dependency(name, '0.1.0'),
      },
    ],
  },
  {
    file: 'apps/all-in-one/src/services.ts',
    additions: [
      {
        what: 'the import',
        added: `import { stickyNotes } from '@gatehouse/sticky-notes';`,
        edit: (added) => before('\n/** The resource servers', `${added}\n`),
      },
      {
        what: 'sticky-notes in the list that the access table is made from',
        added: 'stickyNotes',
        edit: literal('export const services = ['),
      },
    ],
  },
  {
    file: 'apps/all-in-one/src/config.ts',
    additions: [
      {
        what: `STICKY_NOTES_PORT, ${port} unless given`,
        added: `STICKY_NOTES_PORT: PortSchema.default(${port})`,
        edit: literal('export const servicePorts = {'),
      },
    ],
  },
  {
    file: 'apps/all-in-one/src/start.ts',
    additions: [
      {
        what: 'the import',
        added: `import { stickyNotes } from '@gatehouse/sticky-notes';`,
        edit: line(`import { startGateway } from '@gatehouse/gateway';`),
      },
      {
        what: 'npm start runs it',
        added: `  const stickyNotesConfig = { ...api, PORT: config.STICKY_NOTES_PORT };
  const stickyNotesUrl = await started(startService(stickyNotes, stickyNotesConfig, partsOf('sticky-notes')));
`,
        edit: (lines) => before('  const upstreams = {', lines),
      },
      {
        what: 'STICKY_NOTES_URL for the gateway',
        added: 'STICKY_NOTES_URL: stickyNotesUrl',
        edit: literal('const upstreams = {'),
      },
      {
        what: 'its address in the banner',
        added: `'sticky-notes': stickyNotesUrl`,
        edit: literal('    urls: {'),
      },
    ],
  },
  {
    file: 'e2e/src/system.ts',
    additions: [
      {
        what: 'STICKY_NOTES_PORT, a free one',
        added: `'STICKY_NOTES_PORT'`,
        edit: literal('const portVariables = ['),
      },
    ],
  },
  {
    file: 'e2e/src/drills/processes.ts',
    additions: [
      {
        what: 'STICKY_NOTES_URL for the gateway of the drills, where nothing listens',
        added: 'STICKY_NOTES_URL: at(ports.STICKY_NOTES_PORT)',
        edit: literal('    gateway: {'),
      },
    ],
  },
  {
    file: 'docker-compose.yml',
    additions: [
      {
        what: 'the service sticky-notes',
        added: `  sticky-notes:
    <<: *service
    build: { context: ., dockerfile: infra/docker/Dockerfile, args: { APP: sticky-notes } }
    networks: [services, data]
    environment:
      <<: *resource-server
      DATABASE_URL_FILE: /run/secrets/sticky-notes-database-url
    secrets: [sticky-notes-database-url]
    depends_on: { <<: *stores, auth: { condition: service_healthy } }

`,
        edit: (block) => beforeKey(['services'], 'redis', block),
      },
      {
        what: 'STICKY_NOTES_URL for the gateway',
        added: 'STICKY_NOTES_URL: http://sticky-notes:8080',
        edit: yaml(['services', 'gateway', 'environment']),
      },
      {
        what: 'the gateway waits for it',
        added: 'sticky-notes: { condition: service_healthy }',
        edit: yaml(['services', 'gateway', 'depends_on']),
      },
      {
        what: 'the secret for postgres, which makes the database',
        added: 'sticky-notes-database-url',
        edit: yaml(['services', 'postgres', 'secrets']),
      },
      {
        what: 'the file of the secret',
        added: `sticky-notes-database-url: { file: "\${SECRETS_DIR:-./infra/secrets/demo}/sticky-notes-database-url" }`,
        edit: yaml(['secrets']),
      },
    ],
  },
  {
    file: 'infra/tls/docker-compose.yml',
    additions: [
      {
        what: 'the issuer of its tokens over HTTPS',
        added: '  sticky-notes: { environment: *issuer }',
        edit: line('  auth: { environment: *issuer }'),
      },
    ],
  },
  {
    file: 'infra/observability/docker-compose.yml',
    additions: [
      {
        what: 'its traces and metrics',
        added: '  sticky-notes: *observed',
        edit: line('  auth: *observed'),
      },
    ],
  },
  {
    file: 'infra/observability/prometheus/prometheus.yml',
    additions: [
      {
        what: 'where its metrics are',
        added: 'sticky-notes',
        edit: yaml(['scrape_configs', 0, 'dns_sd_configs', 0, 'names']),
      },
    ],
  },
  {
    file: 'infra/observability/prometheus/rules.yml',
    additions: [
      {
        what: 'the alert that it is gone',
        added: ' or absent(up{service="sticky-notes"})',
        edit: (alternative) => behind(' or absent(up{service="auth"})', alternative),
      },
    ],
  },
];
