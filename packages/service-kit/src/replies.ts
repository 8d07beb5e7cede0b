/** What a handler answers with: 200 and this body. */
export function ok<Body>(body: Body) {
  return { status: 200 as const, body };
}

/** What a handler answers with: 201, where the new resource is from now on, and what it is. */
export function created<Body>(location: string, body: Body) {
  return { status: 201 as const, body, headers: { Location: location } };
}

/** What a handler answers with when it is done and has nothing to tell. */
export const noContent = { status: 204, body: undefined } as const;
