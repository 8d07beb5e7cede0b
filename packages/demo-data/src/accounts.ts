/** An account of the demo data; its password is known to apps/auth alone. */
export interface DemoAccount {
  id: string;
  username: string;
  displayName: string;
  email: string;
  roles: readonly ('customer' | 'admin')[];
  disabled: boolean;
}

/** The accounts every service seeds when DEMO=true, with ids that never change. */
export const demoAccounts = {
  alice: account('a11ce000-0000-4000-8000-000000000001', 'alice', 'Alice Example', ['customer']),
  bob: account('b0b00000-0000-4000-8000-000000000002', 'bob', 'Bob Example', ['customer']),
  admin: account('ad000000-0000-4000-8000-000000000003', 'admin', 'Ada Min', ['customer', 'admin']),
  carol: {
    ...account('ca501000-0000-4000-8000-000000000004', 'carol', 'Carol Example', ['customer']),
    disabled: true,
  },
  johndoe: account('70d00000-0000-4000-8000-000000000005', 'johndoe', 'John Doe', ['customer']),
} as const satisfies Record<string, DemoAccount>;

function account(
  id: string,
  username: string,
  displayName: string,
  roles: DemoAccount['roles'],
): DemoAccount {
  return { id, username, displayName, email: `${username}@example.com`, roles, disabled: false };
}
