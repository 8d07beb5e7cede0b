import { html, type TemplateResult } from 'lit-html';
import { newestExchange } from '../exchange.ts';
import { checksTable, map } from '../map.ts';
import { startTour } from '../tour.ts';

/** What this is, with the map of it. */
export function overview(): TemplateResult {
  const exchange = newestExchange();
  return html`
    <h1>See every decision</h1>
    <p class="lead">
      An API gateway, an authorization server and services that trust tokens and never the network. Sign in, call them,
      look into the token, break the rules in the lab, and see at each hop what was checked, and why it said no.
    </p>
    ${map(exchange)} ${exchange ? checksTable(exchange) : ''}
    <ul class="ways">
      <li><a href="#call">Call</a>: every route, as anybody, with each check of the answer.</li>
      <li><a href="#token">Token</a>: what is in it, what it means, and what each service says to it.</li>
      <li><a href="#lab">Lab</a>: more than twenty ways to break in, and what stops each of them.</li>
      <li><a href="#live">Live</a>: keys, denylist, grants and the audit log, for an admin.</li>
    </ul>
    <p><button type="button" class="quiet" @click=${startTour}>Take the tour</button></p>
  `;
}
