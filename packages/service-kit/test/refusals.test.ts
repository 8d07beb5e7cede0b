import { randomUUID } from 'node:crypto';
import { after } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import {
  created,
  noContent,
  ok,
  requireFound,
  requireOwnerOr,
  route,
  type Service,
  ServiceConfigSchema,
  serverEvents,
  TextSchema,
} from '../src/index.ts';
import { createTestBench, testRefusals } from '../testing/index.ts';

// The generated tests of what no service of ours has yet: something below something else, a stream without an end, and a
// role that does as the owner does.
const ThingSchema = z.object({ id: z.uuid(), name: TextSchema.max(100) });
type Box = { ownerId: string; things: Map<string, z.output<typeof ThingSchema>> };
const boxes = new Map<string, Box>();
const boxOf = (ownerId: string, id: string) => {
  const box = boxes.get(id);
  return requireFound(box?.ownerId === ownerId ? box : undefined, 'No such box');
};

async function* forever() {
  for (;;) {
    yield {};
    await delay(100, undefined, { ref: false });
  }
}

const ofCaller = { scope: 'boxes:use', user: true, owner: 'caller' } as const;
const boxed: Service = {
  name: 'boxes',
  description: '',
  audience: 'urn:boxes',
  config: ServiceConfigSchema,
  migrations: new URL('fixtures/migrations', import.meta.url),
  seed: async () => {},
  routes: () => [
    route('get', '/boxes/events', {
      ...ofCaller,
      summary: 'Streams',
      responses: { 200: serverEvents({}) },
      handler: async () => ok(forever()),
    }),
    route('delete', '/boxes/{id}', {
      ...ofCaller,
      owner: 'caller or moderator',
      summary: 'Removes a box',
      responses: { 204: z.undefined() },
      handler: async ({ params, caller }) => {
        requireOwnerOr('moderator', requireFound(boxes.get(params.id), 'No such box'), caller);
        boxes.delete(params.id);
        return noContent;
      },
    }),
    route('post', '/boxes/{id}/things', {
      ...ofCaller,
      summary: 'Adds a thing',
      body: z.strictObject({ name: TextSchema.max(100) }),
      responses: { 201: ThingSchema },
      handler: async ({ params, body, caller }) => {
        const thing = { ...body, id: randomUUID() };
        boxOf(caller.subject, params.id).things.set(thing.id, thing);
        return created(`/boxes/${params.id}/things/${thing.id}`, thing);
      },
    }),
    route('get', '/boxes/{id}/things/{thingId}', {
      ...ofCaller,
      summary: 'Reads a thing',
      responses: { 200: ThingSchema },
      handler: async ({ params, caller }) => {
        const { things } = boxOf(caller.subject, params.id);
        return ok(requireFound(things.get(params.thingId), 'No such box'));
      },
    }),
  ],
};

const bench = await createTestBench();
after(bench.close);
const service = await bench.start(boxed);

async function boxOfOne(ownerId: string): Promise<string> {
  const id = randomUUID();
  boxes.set(id, { ownerId, things: new Map() });
  return `/boxes/${id}`;
}

testRefusals(
  service,
  bench,
  {
    '/boxes/{id}': boxOfOne,
    '/boxes/{id}/things/{thingId}': async (sub) => {
      const as = { sub, scope: 'boxes:use' };
      const box = await boxOfOne(sub);
      const thing = await service.call('POST', `${box}/things`, { as, json: { name: 'a thing' } });
      return thing.headers.get('location') ?? '';
    },
  },
  { 'POST /boxes/{id}/things': { name: 'a thing' } },
);
