import { html, nothing, svg, type TemplateResult } from 'lit-html';
import { type Exchange, statusOf } from './exchange.ts';
import { type Api, api } from './openapi.ts';
import { type Check, refusalIn } from './server-timing.ts';

type Services = Api['services'];

interface Place {
  x: number;
  y: number;
  what: string;
}

const firstRow = 45;
const rowHeight = 70;

/** Where everything stands: the services below auth, as many as there are, and what they share beside them. */
function placesOf(services: Services): Map<string, Place> {
  const middle = firstRow + (rowHeight * rowsOf(services)) / 2;
  const below = [...services].map(([name, description], index): [string, Place] => [
    name,
    { x: 430, y: firstRow + rowHeight * (index + 1), what: beginningOf(description) },
  ]);
  return new Map([
    ['you', { x: 70, y: middle, what: 'this page' }],
    ['gateway', { x: 240, y: middle, what: 'the only door' }],
    ['auth', { x: 430, y: firstRow, what: 'issues tokens' }],
    ...below,
    ['redis', { x: 620, y: middle - rowHeight, what: 'what is revoked' }],
    ['postgres', { x: 620, y: middle + rowHeight, what: 'what lasts' }],
  ]);
}

// Before the services are known there is room for the three that there are at first.
const rowsOf = (services: Services) => Math.max(3, services.size);

const beginningOf = (description: string) => description.split(/[,:;.]| of /, 1)[0]?.toLowerCase() ?? '';

function waysOf(services: Services): [from: string, to: string][] {
  const behind = ['auth', ...services.keys()];
  return [
    ['you', 'gateway'],
    ...behind.map((name): [string, string] => ['gateway', name]),
    ...behind.map((name): [string, string] => [name, 'postgres']),
    ['redis', 'auth'],
  ];
}

/** The system, with the way that the newest request has taken and where it ended. */
export function map(exchange: Exchange | undefined): TemplateResult {
  const walk = exchange ? walkOf(exchange) : [];
  const services = servicesOn(walk);
  const places = placesOf(services);
  const end = walk.at(-1);
  const refused = exchange !== undefined && exchange.status >= 400;
  const classOf = (kind: string, index: number, name: string) =>
    index < 0 ? kind : `${kind} walked step-${index} ${refused && name === end ? 'refused' : 'passed'}`;
  const line = ([from, to]: [string, string]) => {
    const step = walk.findIndex((name, index) => name === to && walk[index - 1] === from);
    const [start, stop] = [places.get(from), places.get(to)];
    return svg`<line class=${classOf('way', step, to)} x1=${start?.x} y1=${start?.y} x2=${stop?.x} y2=${stop?.y} />`;
  };
  const box = ([name, { x, y, what }]: [string, Place]) => {
    const mark = refused && name === end ? ' ✗' : walk.includes(name) ? ' ✓' : '';
    return svg`<g class=${classOf('place', walk.indexOf(name), name)} transform="translate(${x} ${y})">
      <rect x="-58" y="-24" width="116" height="48" rx="9" />
      <text y="-3" textLength=${fitting(name + mark, 13)} lengthAdjust="spacingAndGlyphs">${name}${mark}</text>
      <text class="what" y="14" textLength=${fitting(what, 18)} lengthAdjust="spacingAndGlyphs">${what}</text>
    </g>`;
  };
  return html`
    <figure class="map">
      <svg viewBox="0 0 700 ${2 * firstRow + rowHeight * rowsOf(services)}" role="img" aria-label=${descriptionOf(exchange, walk, services)}>
        ${waysOf(services).map(line)} ${[...places].map(box)}
      </svg>
      <figcaption>${exchange ? captionOf(exchange) : 'Every process reads the denylist in Redis as a stream.'}</figcaption>
    </figure>
  `;
}

// What is longer than fits is drawn narrower.
const fitting = (text: string, characters: number) => (text.length > characters ? 106 : nothing);

/** Each check of a request with its verdict and its time, hop by hop. */
export function checksTable({ checks, status }: Exchange): TemplateResult {
  if (status === 0)
    return html`<p class="note">A browser tells no more of a redirect than that it is one.</p>`;
  if (checks.length === 0)
    return html`<p class="note">This answer tells of no check: with EXPLAIN=false none does.</p>`;
  const refusal = refusalIn(checks, status);
  return html`
    <table class="checks">
      <caption>The checks, in their order</caption>
      <thead><tr><th scope="col">Process</th><th scope="col">Check</th><th scope="col">Verdict</th><th scope="col" class="number">ms</th></tr></thead>
      <tbody>${checks.map((check) => checkRow(check, check === refusal))}</tbody>
    </table>
  `;
}

function checkRow({ hop, name, verdict, tookMs }: Check, isRefusal: boolean): TemplateResult {
  return html`<tr class=${isRefusal ? 'refused' : nothing}>
    <td>${hop}</td>
    <td>${name}</td>
    <td>${isRefusal ? '✗ ' : nothing}${verdict}</td>
    <td class="number">${tookMs.toFixed(2)}</td>
  </tr>`;
}

/** Where a request has been, as its answer tells: each service tells of its checks, the authorization server of none. */
function walkOf({ checks }: Exchange): string[] {
  const service = checks.find(({ hop }) => hop !== 'gateway')?.hop;
  // What is not a status is why nobody behind the gateway has answered.
  const isForwarded = checks.some(({ name, verdict }) => name === 'upstream' && /^\d+$/.test(verdict));
  const behind = service ?? (isForwarded ? 'auth' : undefined);
  return ['you', 'gateway', ...(behind === undefined ? [] : [behind])];
}

/** The services of the document, and one on the way that it lacks: it was away when the gateway read of it. */
function servicesOn(walk: readonly string[]): Services {
  const { services } = api();
  const [, , behind = 'auth'] = walk;
  return behind === 'auth' || services.has(behind) ? services : new Map([...services, [behind, '']]);
}

function captionOf(exchange: Exchange): string {
  const { method, path, tookMs } = exchange;
  return `${method} ${path}: ${statusOf(exchange)} after ${tookMs.toFixed(0)} ms`;
}

function descriptionOf(exchange: Exchange | undefined, walk: readonly string[], services: Services): string {
  const behind = ['auth', ...services.keys()].join(', ');
  const all = `Map: this page, the gateway, behind it ${behind}, and behind them Redis and PostgreSQL.`;
  return exchange ? `${all} The request went by ${walk.join(', ')}.` : all;
}
