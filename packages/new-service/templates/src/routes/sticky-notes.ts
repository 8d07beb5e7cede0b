import {
  created,
  createPageSchema,
  ok,
  PageQuerySchema,
  type Route,
  requireFound,
  route,
  TextSchema,
  TimestampSchema,
} from '@gatehouse/service-kit';
import { z } from 'zod';
import type { StickyNoteStore } from '../store.ts';

const NewStickyNoteSchema = z.strictObject({
  text: TextSchema.min(1)
    .max(2000)
    .meta({ examples: ['The first of many.'] }),
});
const StickyNoteSchema = z
  .object({ id: z.uuid(), text: z.string(), createdAt: TimestampSchema })
  .meta({ id: 'StickyNote' });

/** The sticky notes of the caller, and nobody else's: those are as unknown as a free id. */
export function stickyNoteRoutes(stickyNotes: StickyNoteStore): readonly Route[] {
  return [
    route('get', '/sticky-notes', {
      scope: 'sticky-notes:read',
      user: true,
      owner: 'caller',
      summary: 'Lists the sticky notes of the caller, newest first',
      query: PageQuerySchema,
      responses: { 200: createPageSchema(StickyNoteSchema).meta({ id: 'StickyNotePage' }) },
      handler: async ({ query, caller }) => ok(await stickyNotes.list(caller.subject, query)),
    }),
    route('get', '/sticky-notes/{id}', {
      scope: 'sticky-notes:read',
      user: true,
      owner: 'caller',
      summary: 'Reads one of the sticky notes of the caller',
      responses: { 200: StickyNoteSchema },
      handler: async ({ params, caller }) => {
        const stickyNote = await stickyNotes.find(caller.subject, params.id);
        return ok(requireFound(stickyNote, 'No such sticky note'));
      },
    }),
    route('post', '/sticky-notes', {
      scope: 'sticky-notes:write',
      user: true,
      summary: 'Adds to the sticky notes of the caller',
      body: NewStickyNoteSchema,
      responses: { 201: StickyNoteSchema },
      handler: async ({ body, caller }) => {
        const stickyNote = await stickyNotes.create(caller.subject, body.text);
        return created(`/sticky-notes/${stickyNote.id}`, stickyNote);
      },
    }),
  ];
}
