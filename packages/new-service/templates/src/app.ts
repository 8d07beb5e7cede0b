import { type Service, ServiceConfigSchema } from '@gatehouse/service-kit';
import { noteRoutes } from './routes/notes.ts';
import { createNoteStore } from './store.ts';

export const notes: Service = {
  name: 'notes',
  description: 'Notes of the caller',
  audience: 'urn:gatehouse:notes',
  config: ServiceConfigSchema,
  migrations: new URL('../migrations', import.meta.url),
  seed: async () => {},
  routes: ({ db }) => noteRoutes(createNoteStore(db)),
};
