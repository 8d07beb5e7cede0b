import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';

import { size } from './size.ts';

const report = new URL('../../docs/performance.md', import.meta.url);

/** Prints a section of docs/performance.md and puts it there, in the place of the one with this heading. */
export function writeSection(heading: string, body: string): void {
  process.stdout.write(`\n## ${heading}\n\n${body}\n`);
  if (size < 1) return;
  const [intro = '', ...sections] = readFileSync(report, 'utf8').split(/^(?=## )/m);
  const section = `## ${heading}\n\n${body.trim()}\n`;
  const found = sections.findIndex((text) => text.startsWith(`## ${heading}\n`));
  if (found < 0) sections.push(section);
  else sections[found] = section;
  writeFileSync(
    report,
    [intro, ...sections]
      .map((text) => text.trim())
      .join('\n\n')
      .concat('\n'),
  );
}

/** When and on what something was measured, with these packages. */
export function measuredOn(packages: readonly string[]): string {
  const versions = packages.map((name) => `${name} ${versionOf(name)}`);
  const machine = `${availableParallelism()} cores (${cpus()[0]?.model.trim()}), Node ${process.versions.node}`;
  return `Measured on ${new Date().toISOString().slice(0, 10)}: ${[machine, ...versions].join(', ')}.`;
}

/** A row for each: its name, what it does, the median and all rounds. */
export function tableOf(
  what: string,
  measured: readonly { name: string; does: string; microseconds: readonly number[] }[],
): string {
  const rows = measured.map(({ name, does, microseconds }) => {
    const each = microseconds.map(Math.round).sort((a, b) => a - b);
    return `| ${name} | ${does} | **${Math.round(medianOf(microseconds))}** | ${each.join(', ')} |`;
  });
  return [`| ${what} | does | median | rounds |`, '| --- | --- | --- | --- |', ...rows].join('\n');
}

export function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** The value that this part of them stays below: 0.99 for all but one in a hundred. */
export function quantileOf(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** A table of these rows of cells. */
export function tableWith(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heads, heads.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function versionOf(name: string): string {
  const manifest = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(manifest, 'utf8')).version;
}
