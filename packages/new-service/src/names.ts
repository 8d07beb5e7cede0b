/** The words for a service, as its files and those that name it write them. */
export interface Names {
  /** Of the service, its folder, its path and its database: payments, or payment-methods. */
  plural: string;
  /** Of one thing that it keeps: payment-method. */
  singular: string;
}

// A fault of whoever runs the command, told in one line.
export class Refusal extends Error {}

const words = /^(?=.{3,30}$)[a-z]+(-[a-z]+)*$/;
// Both words become names of variables.
const keywords = new Set(
  (
    'abstract any arguments async await boolean break case catch class const constructor continue debugger default delete do ' +
    'else enum eval export extends false finally for from function get global if implements import in infer instanceof ' +
    'interface is keyof let module namespace never new null number object of package private process protected public ' +
    'readonly require return satisfies set static string super switch symbol this throw true try type typeof undefined ' +
    'unknown using var void while with yield'
  ).split(' '),
);

/**
 * The words for a service of this name; the singular is guessed unless it is given.
 * @throws Refusal where they cannot be used
 */
export function namesFrom(plural: string, given?: string): Names {
  const singular = given ?? singularOf(plural);
  for (const word of [plural, singular]) {
    if (!words.test(word)) {
      const wanted = '3 to 30 letters a to z, with a dash between two words, as in payment-methods';
      throw new Refusal(`"${word}" is no name for a service: ${wanted}`);
    }
    if (keywords.has(word)) throw new Refusal(`"${word}" is a word of TypeScript: choose another name`);
  }
  if (singular === plural) {
    throw new Refusal(`what is one of "${plural}"? npm run new-service -- ${plural} --singular WORD`);
  }
  return { plural, singular };
}

function singularOf(plural: string): string {
  if (plural.endsWith('ies')) return plural.replace(/ies$/, 'y');
  if (/(ss|sh|ch|x|z)es$/.test(plural)) return plural.replace(/es$/, '');
  return plural.replace(/(?<!s)s$/, '');
}

/** A name as that of a variable: paymentMethods. */
export const inCamelCase = (name: string) => name.replaceAll(/-(.)/g, (_all, first) => first.toUpperCase());

/** The text about sticky notes, in every way that a name is written, made one about this service. */
export function rename(text: string, { plural, singular }: Names): string {
  // Upper and lower case matter, or the S of StickyNoteStore would make it many.
  return text.replace(/STICKY_NOTES?|[Ss]ticky(Notes?|[-_ ]notes?)/g, (written) => {
    const name = /s$/i.test(written) ? plural : singular;
    if (written.startsWith('STICKY')) return name.replaceAll('-', '_').toUpperCase();
    const separator = /[-_ ]/.exec(written)?.[0];
    const renamed = separator === undefined ? inCamelCase(name) : name.replaceAll('-', separator);
    return written.startsWith('S') ? renamed[0]?.toUpperCase() + renamed.slice(1) : renamed;
  });
}
