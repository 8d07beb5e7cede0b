/** A page of a list; `next` is null on the last one. */
export interface Page<Entry> {
  items: Entry[];
  next: string | null;
}

export interface Item {
  id: string;
  name: string;
  description: string;
  priceCents: number;
  currency: string;
  stock: number;
  ownerId: string;
  createdAt: string;
  updatedAt: string;
}

export interface Order {
  id: string;
  status: string;
  lines: { itemId: string; name: string; quantity: number; unitPriceCents: number }[];
  totalCents: number;
  currency: string;
  createdAt: string;
}

export interface User {
  id: string;
  username: string;
  displayName: string;
  email: string | null;
  roles: string[];
  createdAt: string;
}

/** What the token endpoint answers (RFC 6749, sections 5.1 and 5.2). */
export interface TokenAnswer {
  access_token: string;
  token_type: string;
  expires_in: number;
  scope: string;
  refresh_token?: string;
  error?: string;
}
