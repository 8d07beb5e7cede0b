import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decidingFiles } from './page/lab/deciding-files.ts';

export { decidingFiles };

/** What a browser gets at a path. */
export interface ExplorerFile {
  /** A name that express gives a media type for: `.html`. */
  extension: string;
  /** Reads it, and makes it fit for a browser. */
  read(): Buffer;
}

const page = new URL('./page/', import.meta.url);
const repository = new URL('../../../', import.meta.url);
const libraries = {
  // Beside what Node is given, which is another build.
  'lit-html': fromPackage('lit-html', '../', 'lit-html.js', 'lit-html.js'),
  oauth4webapi: fromPackage('oauth4webapi', './', 'index.js', 'index.js'),
  jose: fromPackage('jose', './', 'index.js', '**/*.js'),
};

/** The path that everything of the explorer is below. */
export const explorerPath = '/explorer/';

const importMap = JSON.stringify({
  imports: Object.fromEntries(
    Object.entries(libraries).map(([name, { main }]) => [name, `${explorerPath}lib/${name}/${main}`]),
  ),
});

/** The one inline script of the page, as a source for `script-src` (CSP Level 3, 2.3.1). */
export const importMapHash = `'sha256-${createHash('sha256').update(importMap).digest('base64')}'`;

/**
 * Everything that the explorer is made of, by its path. The page is TypeScript as it stands in its folder: what a browser
 * gets has blanks where the types were, so its lines are those of the source.
 */
export function explorerFiles(): Map<string, ExplorerFile> {
  const files = new Map<string, ExplorerFile>();
  const own = globSync('**/*.{ts,css,svg}', { cwd: fileURLToPath(page) }).sort();
  const modules = own.filter((name) => name.endsWith('.ts') && !name.startsWith('callback'));
  const read = (url: URL) => () => readFileSync(url);
  const readPage = (name: string) => () => {
    const text = readFileSync(new URL(name, page), 'utf8');
    const preloads = modules.map((name) => `<link rel="modulepreload" href="${explorerPath}${name}">`);
    return Buffer.from(
      text
        .replace('<!-- import map -->', `<script type="importmap">${importMap}</script>`)
        .replace('<!-- modules -->', preloads.join('\n')),
    );
  };
  files.set(explorerPath, { extension: '.html', read: readPage('index.html') });
  files.set(`${explorerPath}callback`, { extension: '.html', read: readPage('callback.html') });
  for (const name of own) {
    const url = new URL(name, page);
    const isModule = name.endsWith('.ts');
    files.set(explorerPath + name, {
      extension: isModule ? '.js' : extname(name),
      read: isModule ? () => withoutTypes(url) : read(url),
    });
  }
  for (const [name, { root, paths }] of Object.entries(libraries))
    for (const path of paths)
      files.set(`${explorerPath}lib/${name}/${path}`, { extension: '.js', read: read(new URL(path, root)) });
  for (const path of decidingFiles)
    files.set(`${explorerPath}source/${path}`, { extension: '.txt', read: read(new URL(path, repository)) });
  return files;
}

const require = createRequire(import.meta.url);

function withoutTypes(url: URL): Buffer {
  // It takes 20 MB, which a gateway that nobody explores need not have.
  const { transformSync }: typeof import('amaro') = require('amaro');
  const { code } = transformSync(readFileSync(url, 'utf8'), {
    mode: 'strip-only',
    filename: fileURLToPath(url),
  });
  return Buffer.from(code);
}

/** The modules of a package that a browser may ask for, and the one that it is imported by. */
function fromPackage(name: string, folder: string, main: string, pattern: string) {
  const root = new URL(folder, import.meta.resolve(name));
  const paths = globSync(pattern, { cwd: fileURLToPath(root) }).map((path) => path.replaceAll('\\', '/'));
  return { root, paths, main };
}
