import { html, nothing, svg, type TemplateResult } from 'lit-html';
import type { Exchange } from './exchange.ts';
import { type Check, refusalIn } from './server-timing.ts';

type Place = 'you' | 'gateway' | 'auth' | 'users' | 'items' | 'orders' | 'redis' | 'postgres';

const places: Record<Place, { x: number; y: number; what: string }> = {
  you: { x: 70, y: 150, what: 'this page' },
  gateway: { x: 240, y: 150, what: 'the only door' },
  auth: { x: 430, y: 45, what: 'issues tokens' },
  users: { x: 430, y: 115, what: 'profiles' },
  items: { x: 430, y: 185, what: 'the catalogue' },
  orders: { x: 430, y: 255, what: 'orders' },
  redis: { x: 620, y: 80, what: 'what is revoked' },
  postgres: { x: 620, y: 220, what: 'what lasts' },
};

const ways: [Place, Place][] = [
  ['you', 'gateway'],
  ['gateway', 'auth'],
  ['gateway', 'users'],
  ['gateway', 'items'],
  ['gateway', 'orders'],
  ['auth', 'postgres'],
  ['users', 'postgres'],
  ['items', 'postgres'],
  ['orders', 'postgres'],
  ['redis', 'auth'],
];

/** The system, with the way that the newest request has taken and where it ended. */
export function map(exchange: Exchange | undefined): TemplateResult {
  const walk = exchange ? walkOf(exchange) : [];
  const end = walk.at(-1);
  const refused = exchange !== undefined && exchange.status >= 400;
  const wayClass = ([from, to]: [Place, Place]) => {
    const index = walk.findIndex((place, at) => place === to && walk[at - 1] === from);
    return index < 0 ? 'way' : `way walked step-${index} ${refused && to === end ? 'refused' : 'passed'}`;
  };
  const placeClass = (name: Place) => {
    if (!walk.includes(name)) return 'place';
    return `place walked step-${walk.indexOf(name)} ${refused && name === end ? 'refused' : 'passed'}`;
  };
  return html`
    <figure class="map">
      <svg viewBox="0 0 700 300" role="img" aria-label=${descriptionOf(exchange, walk)}>
        ${ways.map(
          (way) => svg`<line class=${wayClass(way)} x1=${places[way[0]].x} y1=${places[way[0]].y}
            x2=${places[way[1]].x} y2=${places[way[1]].y} />`,
        )}
        ${(Object.keys(places) as Place[]).map(
          (
            name,
          ) => svg`<g class=${placeClass(name)} transform="translate(${places[name].x} ${places[name].y})">
            <rect x="-58" y="-24" width="116" height="48" rx="9" />
            <text y="-3">${name}${refused && name === end ? ' ✗' : walk.includes(name) ? ' ✓' : ''}</text>
            <text class="what" y="14">${places[name].what}</text>
          </g>`,
        )}
      </svg>
      <figcaption>${exchange ? captionOf(exchange) : 'Every process reads the denylist in Redis as a stream.'}</figcaption>
    </figure>
  `;
}

/** Each check of a request with its verdict and its time, hop by hop. */
export function checksTable({ checks, status }: Exchange): TemplateResult {
  if (checks.length === 0)
    return html`<p class="note">This answer tells of no check: the authorization server never does, and nobody does with EXPLAIN=false.</p>`;
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

/** Where a request has been, as its answer tells; the gateway's table tells where auth's paths lead. */
function walkOf({ checks, path }: Exchange): Place[] {
  const hops = new Set(checks.map(({ hop }) => hop));
  const services = (['users', 'items', 'orders'] as const).filter((name) => hops.has(name));
  const isApi = /^\/(users|items|orders)\b/.test(path);
  const isOfGateway = /^\/(docs|openapi\.json|explorer|health)\b/.test(path);
  if (services.length > 0) return ['you', 'gateway', ...services];
  return isApi || isOfGateway ? ['you', 'gateway'] : ['you', 'gateway', 'auth'];
}

function captionOf({ method, path, status, tookMs }: Exchange): string {
  return `${method} ${path}: ${status} after ${tookMs.toFixed(0)} ms`;
}

function descriptionOf(exchange: Exchange | undefined, walk: readonly Place[]): string {
  const all =
    'Map: this page, the gateway, behind it auth, users, items and orders, and behind them Redis and PostgreSQL.';
  return exchange ? `${all} The request went by ${walk.join(', ')}.` : all;
}
