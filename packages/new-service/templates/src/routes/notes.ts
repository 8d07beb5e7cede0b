import {
  created,
  createPageSchema,
  ok,
  PageQuerySchema,
  Problem,
  type Route,
  route,
  TextSchema,
  TimestampSchema,
} from '@gatehouse/service-kit';
import { z } from 'zod';
import type { NoteStore } from '../store.ts';

const NewNoteSchema = z.strictObject({
  text: TextSchema.min(1)
    .max(2000)
    .meta({ examples: ['The first of many.'] }),
});
const NoteSchema = z
  .object({ id: z.uuid(), text: z.string(), createdAt: TimestampSchema })
  .meta({ id: 'Note' });

/** The notes of the caller, and nobody else's: those are as unknown as a free id. */
export function noteRoutes(notes: NoteStore): readonly Route[] {
  return [
    route('get', '/notes', {
      scope: 'notes:read',
      user: true,
      owner: 'caller',
      summary: 'Lists the notes of the caller, newest first',
      query: PageQuerySchema,
      responses: { 200: createPageSchema(NoteSchema).meta({ id: 'NotePage' }) },
      handler: async ({ query, caller }) => ok(await notes.list(caller.subject, query)),
    }),
    route('get', '/notes/{id}', {
      scope: 'notes:read',
      user: true,
      owner: 'caller',
      summary: 'Reads one of the notes of the caller',
      responses: { 200: NoteSchema },
      handler: async ({ params, caller }) => {
        const note = await notes.find(caller.subject, params.id);
        if (note === undefined) throw new Problem(404, 'No such note');
        return ok(note);
      },
    }),
    route('post', '/notes', {
      scope: 'notes:write',
      user: true,
      summary: 'Adds to the notes of the caller',
      body: NewNoteSchema,
      responses: { 201: NoteSchema },
      handler: async ({ body, caller }) => {
        const note = await notes.create(caller.subject, body.text);
        return created(`/notes/${note.id}`, note);
      },
    }),
  ];
}
