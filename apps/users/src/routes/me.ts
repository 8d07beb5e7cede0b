import { ok, type Route, requireFound, route, TextSchema, TimestampSchema } from '@gatehouse/service-kit';
import type { Request } from 'express';
import { z } from 'zod';
import { AccountSchema, type AccountsClient } from '../accounts-client.ts';
import type { ProfileStore } from '../store.ts';

const UserSchema = AccountSchema.omit({ disabled: true })
  .extend({
    roles: AccountSchema.shape.roles.describe('As the access token tells them'),
    createdAt: TimestampSchema,
  })
  .meta({ id: 'User' });

const ProfileChangeSchema = z
  .strictObject({ displayName: TextSchema.trim().min(1).max(120) })
  .partial()
  .meta({ examples: [{ displayName: 'Alice B.' }] });

/** The caller's own profile, and nobody else's. An account that has none yet gets one when it is first asked for. */
export function meRoutes(profiles: ProfileStore, accounts: AccountsClient): readonly Route[] {
  /** What `work` does with the profile of the caller, which is made first where there is none. */
  async function withProfile<Profile>(req: Request, work: () => Promise<Profile | undefined>) {
    const profile = await work();
    if (profile !== undefined) return profile;
    const { id, username, displayName, email, createdAt } = await accounts.own(req);
    await profiles.add({ id, username, displayName, email, createdAt: new Date(createdAt) });
    return requireFound(await work(), 'The caller has no profile');
  }

  return [
    route('get', '/users/me', {
      scope: 'profile:read',
      user: true,
      summary: 'Reads the profile of the caller',
      responses: { 200: UserSchema },
      handler: async ({ caller, req }) => {
        const profile = await withProfile(req, () => profiles.find(caller.subject));
        return ok({ ...profile, roles: [...caller.roles] });
      },
    }),
    route('patch', '/users/me', {
      scope: 'profile:write',
      user: true,
      summary: 'Changes the display name of the caller',
      body: ProfileChangeSchema,
      responses: { 200: UserSchema },
      handler: async ({ caller, body, req }) => {
        const profile = await withProfile(req, () => profiles.change(caller.subject, body));
        return ok({ ...profile, roles: [...caller.roles] });
      },
    }),
  ];
}
