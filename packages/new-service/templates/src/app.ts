import { type Service, ServiceConfigSchema } from '@gatehouse/service-kit';
import { stickyNoteRoutes } from './routes/sticky-notes.ts';
import { createStickyNoteStore } from './store.ts';

export const stickyNotes: Service = {
  name: 'sticky-notes',
  description: 'Sticky notes of the caller',
  audience: 'urn:gatehouse:sticky-notes',
  config: ServiceConfigSchema,
  migrations: new URL('../migrations', import.meta.url),
  seed: async () => {},
  routes: ({ db }) => stickyNoteRoutes(createStickyNoteStore(db)),
};
