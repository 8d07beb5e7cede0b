import { isMap, isScalar, isSeq, type Node, parseDocument } from 'yaml';

/** Changes a text, or throws an Error that tells what it looked for. */
export type Edit = (text: string) => string;

/** Puts lines behind the only line that is this one. */
export function behindLine(line: string, inserted: string): Edit {
  return (text) => {
    const at = text.indexOf(onlyOne(text, `${line}\n`)) + line.length + 1;
    return `${text.slice(0, at)}${inserted}\n${text.slice(at)}`;
  };
}

/** Puts a text before the only place where this is. */
export function before(anchor: string, inserted: string): Edit {
  return (text) => text.replace(onlyOne(text, anchor), () => `${inserted}${anchor}`);
}

/** Puts a text behind the only place where this is. */
export function behind(anchor: string, inserted: string): Edit {
  return (text) => text.replace(onlyOne(text, anchor), () => `${anchor}${inserted}`);
}

/** Adds an entry at the end of the object or the array in TypeScript that this opens. */
export function intoLiteral(opening: string, entry: string): Edit {
  return (text) => {
    const start = text.indexOf(onlyOne(text, opening)) + opening.length;
    const end = start + closingAt(text.slice(start), opening);
    const content = text.slice(start, end);
    const kept = content.trimEnd().replace(/,$/, '');
    const lineStart = text.lastIndexOf('\n', start - 1) + 1;
    const indent = /^ */.exec(text.slice(lineStart))?.[0] ?? '';
    const added = content.includes('\n')
      ? `,\n${indent}  ${entry},\n${indent}`
      : `, ${entry}${/\s$/.test(content) ? ' ' : ''}`;
    return `${text.slice(0, start)}${kept}${added}${text.slice(end)}`;
  };
}

/** Adds a dependency to a package.json, in its place of the alphabet. */
export function dependency(name: string, version: string): Edit {
  return (text) => {
    const manifest = JSON.parse(text);
    if (manifest.dependencies === undefined) throw new Error('"dependencies"');
    const dependencies = Object.entries({ ...manifest.dependencies, [name]: version });
    manifest.dependencies = Object.fromEntries(dependencies.sort(([a], [b]) => (a < b ? -1 : 1)));
    return `${JSON.stringify(manifest, undefined, 2)}\n`;
  };
}

/** Adds an entry at the end of the map or the list of YAML at this path; what stands there already stays as it was written. */
export function intoYaml(path: readonly (string | number)[], entry: string): Edit {
  return (text) => {
    const node = nodeAt(text, path);
    const last = node.items.at(-1);
    const first = node.items[0];
    const end = rangeOf(isMap(node) ? (last as { value: Node }).value : (last as Node))[1];
    const start = rangeOf(isMap(node) ? (first as { key: Node }).key : (first as Node))[0];
    const added = node.flow
      ? `, ${entry}`
      : `\n${' '.repeat(start - text.lastIndexOf('\n', start) - 1)}${entry}`;
    return checked(`${text.slice(0, end)}${added}${text.slice(end)}`, path, node.items.length);
  };
}

/** Puts an entry of a map of YAML, indented as it is to stand there, before that of another key. */
export function beforeKey(path: readonly string[], key: string, entry: string): Edit {
  return (text) => {
    const node = nodeAt(text, path);
    const pair = node.items.find((item) => isScalar((item as { key: unknown }).key) && keyOf(item) === key);
    if (pair === undefined) throw new Error([...path, key].join('.'));
    const start = text.lastIndexOf('\n', rangeOf((pair as { key: Node }).key)[0]) + 1;
    return checked(`${text.slice(0, start)}${entry}${text.slice(start)}`, path, node.items.length);
  };
}

const keyOf = (item: unknown) => (item as { key: { value: unknown } }).key.value;

function nodeAt(text: string, path: readonly (string | number)[]) {
  const document = parseDocument(text, { merge: true });
  const node = document.errors.length === 0 ? document.getIn(path, true) : undefined;
  if ((isMap(node) || isSeq(node)) && node.items.length > 0) return node;
  throw new Error(path.join('.'));
}

// One more than before, and nothing else torn.
function checked(text: string, path: readonly (string | number)[], before: number): string {
  if (nodeAt(text, path).items.length !== before + 1) throw new Error(path.join('.'));
  return text;
}

function rangeOf({ range }: Node): readonly [number, number, number] {
  if (!range) throw new Error('a place in the file');
  return range;
}

function onlyOne(text: string, anchor: string): string {
  if (text.split(anchor).length !== 2) throw new Error(anchor.trim());
  return anchor;
}

function closingAt(text: string, opening: string): number {
  let depth = 1;
  for (const { 0: bracket, index } of text.matchAll(/[[\]{}]/g)) {
    depth += bracket === '{' || bracket === '[' ? 1 : -1;
    if (depth === 0) return index;
  }
  throw new Error(opening);
}
