export interface UpstreamTraits {
  /** Cookies belong to the sign-in pages alone; an API never sees one. */
  keepsCookies: boolean;
  /** How long it may be silent before its answer begins, and within it, in milliseconds. */
  silenceTimeoutMs: number;
}

const api: UpstreamTraits = { keepsCookies: false, silenceTimeoutMs: 2_000 };

/** Who stands behind the gateway. Each is reached at the address in its variable: USERS_URL for users. */
export const upstreams = {
  // Checking a password is slow on purpose, and slower when many sign in at once.
  auth: { keepsCookies: true, silenceTimeoutMs: 10_000 },
  users: api,
  items: api,
  orders: api,
} satisfies Record<string, UpstreamTraits>;

export type UpstreamName = keyof typeof upstreams;

export interface ForwardedPath {
  /** Everything at and below this path; upper and lower case differ. */
  path: string;
  to: UpstreamName;
  /** `bearer` asks for an access token here; `own` leaves the guard to the upstream. */
  guard: 'bearer' | 'own';
  /** The one scope that everything below the path needs; otherwise the service's routes decide. */
  scope?: string;
  /** Nothing else works without it, so it is the last that an overloaded gateway refuses. */
  vital?: true;
}

/** The routing table: the first match wins, and what matches nothing is 404. */
export const forwardedPaths: readonly ForwardedPath[] = [
  { path: '/items', to: 'items', guard: 'bearer' },
  { path: '/orders', to: 'orders', guard: 'bearer' },
  { path: '/users/me/items', to: 'items', guard: 'bearer', scope: 'items:read' },
  { path: '/users', to: 'users', guard: 'bearer' },
  { path: '/.well-known/openid-configuration', to: 'auth', guard: 'own' },
  { path: '/.well-known/oauth-authorization-server', to: 'auth', guard: 'own' },
  { path: '/.well-known/jwks.json', to: 'auth', guard: 'own' },
  { path: '/authorize', to: 'auth', guard: 'own' },
  { path: '/token', to: 'auth', guard: 'own', vital: true },
  { path: '/par', to: 'auth', guard: 'own' },
  { path: '/device', to: 'auth', guard: 'own' },
  { path: '/introspect', to: 'auth', guard: 'own', vital: true },
  { path: '/revoke', to: 'auth', guard: 'own', vital: true },
  { path: '/userinfo', to: 'auth', guard: 'own' },
  { path: '/logout', to: 'auth', guard: 'own' },
  { path: '/interaction', to: 'auth', guard: 'own' },
  { path: '/register', to: 'auth', guard: 'own' },
  { path: '/account', to: 'auth', guard: 'own' },
  { path: '/admin', to: 'auth', guard: 'bearer', scope: 'users:admin' },
];

/** From what is refused first when there is too much to do, to what is refused last. */
export type Importance = 'docs' | 'reads' | 'writes' | 'vital';

// Every request is held against these.
const rows = forwardedPaths.map((row) => ({ row, below: `${row.path}/` }));

/** The row of the routing table that a request falls under, if it is forwarded at all. */
export function rowOf(url: string): ForwardedPath | undefined {
  const queryAt = url.indexOf('?');
  const path = queryAt === -1 ? url : url.slice(0, queryAt);
  return rows.find(({ row, below }) => path === row.path || path.startsWith(below))?.row;
}

/** How much a request matters, as far as its first line tells: what is not forwarded, the least. */
export function importanceOf(method: string, url: string): Importance {
  const row = rowOf(url);
  if (row === undefined) return 'docs';
  if (row.vital) return 'vital';
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'reads' : 'writes';
}
