const prefix = '#/components/schemas/';
// Documents come from other processes, and a schema that people can read is never so deep.
const maxDepth = 64;

/**
 * A copy of a part of an OpenAPI document, with every reference replaced.
 * @param rename is given the name of the schema that is referred to
 * @throws Error when it is too deep, or refers to something other than a schema of its own document
 */
export function renameReferences<Part>(part: Part, rename: (name: string) => string): Part {
  return copy(part, 0) as Part;

  function copy(value: unknown, depth: number): unknown {
    if (depth > maxDepth) throw new Error('the document is too deep');
    if (Array.isArray(value)) return value.map((entry) => copy(entry, depth + 1));
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value).map(([key, entry]) => [
      key,
      key === '$ref' && typeof entry === 'string' ? prefix + rename(nameIn(entry)) : copy(entry, depth + 1),
    ]);
    return Object.fromEntries(entries);
  }
}

/** The names of the schemas that a part of an OpenAPI document refers to. */
export function namesIn(part: unknown): string[] {
  const names = new Set<string>();
  renameReferences(part, (name) => {
    names.add(name);
    return name;
  });
  return [...names];
}

/** The schemas that a part of an OpenAPI document needs, with those that they need in turn. */
export function schemasFor(part: unknown, schemas: Schemas): Schemas {
  const needed: Schemas = {};
  const add = (from: unknown) => {
    for (const name of namesIn(from)) {
      if (Object.hasOwn(needed, name)) continue;
      needed[name] = schemas[name];
      add(schemas[name]);
    }
  };
  add(part);
  return needed;
}

export type Schemas = Record<string, unknown>;

function nameIn(reference: string): string {
  if (!reference.startsWith(prefix))
    throw new Error('the document refers to something else than its schemas');
  return reference.slice(prefix.length);
}
