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

/** A file that names every service, and how it comes to name one more. */
export interface Place {
  file: string;
  /** Each with what it does, in words about the service. */
  edits: readonly (readonly [what: string, edit: (rename: (text: string) => string) => Edit])[];
}

/** Every place that has to know of a service, in the words of one named notes; `port` is where it listens. */
export const placesFor = (port: number): readonly Place[] => [
  {
    file: 'apps/auth/src/protocol/scopes.ts',
    edits: [
      [
        'the scopes notes:read and notes:write, in plain words',
        (is) => (text) =>
          [`'notes:read': 'See your notes'`, `'notes:write': 'Add notes for you'`].reduce(
            (now, entry) => intoLiteral('const apiScopeMeanings = {', is(entry))(now),
            text,
          ),
      ],
    ],
  },
  {
    file: 'apps/gateway/src/upstreams.ts',
    edits: [
      [
        'the upstream notes, at NOTES_URL',
        (is) => intoLiteral('export const upstreams = {', is('notes: api')),
      ],
      [
        'the path /notes, by bearer token',
        (is) =>
          behindLine(
            'export const forwardedPaths: readonly ForwardedPath[] = [',
            is(`  { path: '/notes', to: 'notes', guard: 'bearer' },`),
          ),
      ],
    ],
  },
  {
    file: 'apps/all-in-one/package.json',
    edits: [['the dependency @gatehouse/notes', (is) => dependency(is('@gatehouse/notes'), '0.1.0')]],
  },
  {
    file: 'apps/all-in-one/src/services.ts',
    edits: [
      [
        'notes in the list that the access table is made from',
        (is) => (text) =>
          intoLiteral(
            'export const services = [',
            is('notes'),
          )(
            behindLine(
              `import { orders } from '@gatehouse/orders';`,
              is(`import { notes } from '@gatehouse/notes';`),
            )(text),
          ),
      ],
    ],
  },
  {
    file: 'apps/all-in-one/src/config.ts',
    edits: [
      [
        `NOTES_PORT, ${port} unless given`,
        (is) => intoLiteral('export const servicePorts = {', is(`NOTES_PORT: PortSchema.default(${port})`)),
      ],
    ],
  },
  {
    file: 'apps/all-in-one/src/start.ts',
    edits: [
      [
        'the import',
        (is) =>
          behindLine(
            `import { startGateway } from '@gatehouse/gateway';`,
            is(`import { notes } from '@gatehouse/notes';`),
          ),
      ],
      [
        'npm start runs it',
        (is) =>
          before(
            '  const upstreams = {',
            is(`  const notesConfig = { ...api, PORT: config.NOTES_PORT };
  const notesUrl = await started(startService(notes, notesConfig, partsOf('notes')));`),
          ),
      ],
      ['NOTES_URL for the gateway', (is) => intoLiteral('const upstreams = {', is('NOTES_URL: notesUrl'))],
      ['its address in the banner', (is) => intoLiteral('    urls: {', is('notes: notesUrl'))],
    ],
  },
  {
    file: 'e2e/src/system.ts',
    edits: [['NOTES_PORT, a free one', (is) => intoLiteral('const portVariables = [', is(`'NOTES_PORT'`))]],
  },
  {
    file: 'e2e/src/drills/processes.ts',
    edits: [
      [
        'NOTES_URL for the gateway of the drills, where nothing listens',
        (is) => intoLiteral('    gateway: {', is('NOTES_URL: at(ports.NOTES_PORT)')),
      ],
    ],
  },
  {
    file: 'docker-compose.yml',
    edits: [
      [
        'the service notes, with a block like that of items',
        (is) =>
          beforeKey(
            ['services'],
            'redis',
            is(`  notes:
    <<: *service
    build: { context: ., dockerfile: infra/docker/Dockerfile, args: { APP: notes } }
    networks: [services, data]
    environment:
      <<: *resource-server
      DATABASE_URL_FILE: /run/secrets/notes-database-url
    secrets: [notes-database-url]
    depends_on: { <<: *stores, auth: { condition: service_healthy } }

`),
          ),
      ],
      [
        'NOTES_URL for the gateway',
        (is) => intoYaml(['services', 'gateway', 'environment'], is('NOTES_URL: http://notes:8080')),
      ],
      [
        'the gateway waits for it',
        (is) => intoYaml(['services', 'gateway', 'depends_on'], is('notes: { condition: service_healthy }')),
      ],
      [
        'the secret for postgres, which makes the database',
        (is) => intoYaml(['services', 'postgres', 'secrets'], is('notes-database-url')),
      ],
      [
        'the secret notes-database-url',
        (is) =>
          intoYaml(
            ['secrets'],
            is(`notes-database-url: { file: "\${SECRETS_DIR:-./infra/secrets/demo}/notes-database-url" }`),
          ),
      ],
    ],
  },
  {
    file: 'infra/observability/docker-compose.yml',
    edits: [['its traces and metrics', (is) => behindLine('  orders: *observed', is('  notes: *observed'))]],
  },
  {
    file: 'infra/observability/prometheus/prometheus.yml',
    edits: [
      [
        'where its metrics are',
        (is) => intoYaml(['scrape_configs', 0, 'dns_sd_configs', 0, 'names'], is('notes')),
      ],
    ],
  },
  {
    file: 'infra/observability/prometheus/rules.yml',
    edits: [
      [
        'the alert that it is gone',
        (is) => behind(' or absent(up{service="orders"})', is(' or absent(up{service="notes"})')),
      ],
    ],
  },
];
