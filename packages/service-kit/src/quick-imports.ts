import { registerHooks } from 'node:module';

// Node 24 reads the package.json of a module's package for its type, and in doing so parses the exports in it anew for
// each module. That of drizzle-orm has 179 kB and two hundred modules are imported: more than a second of each start.
const drizzle = '/node_modules/drizzle-orm/';

/**
 * Takes relative imports within drizzle-orm for what they are, without another look at its package.json. For
 * `node --import @gatehouse/service-kit/quick-imports`; without it the same modules are loaded, more slowly.
 */
registerHooks({
  resolve(specifier, context, nextResolve) {
    const { parentURL } = context;
    if (!specifier.startsWith('.') || !specifier.endsWith('.js') || !parentURL?.includes(drizzle))
      return nextResolve(specifier, context);
    return { url: new URL(specifier, parentURL).href, format: 'module', shortCircuit: true };
  },
});
