import { Problem, type Route, route, TextSchema, TimestampSchema } from '@gatehouse/service-kit';
import { z } from 'zod';
import type { ProfileStore } from '../store.ts';

const UserSchema = z
  .object({
    id: z.string(),
    username: z.string(),
    displayName: z.string(),
    email: z.string(),
    roles: z.array(z.string()).describe('As the access token tells them'),
    createdAt: TimestampSchema,
  })
  .meta({ id: 'User' });

const ProfileChangeSchema = z.strictObject({ displayName: TextSchema.trim().min(1).max(120) });

/** The caller's own profile, and nobody else's. */
export function meRoutes(profiles: ProfileStore): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/users/me',
      scope: 'profile:read',
      user: true,
      summary: 'Reads the profile of the caller',
      responses: { 200: UserSchema },
      handler: async ({ caller }) => {
        const profile = found(await profiles.find(caller.subject));
        return { status: 200, body: { ...profile, roles: [...caller.roles] } };
      },
    }),
    route({
      method: 'patch',
      path: '/users/me',
      scope: 'profile:write',
      user: true,
      summary: 'Changes the display name of the caller',
      body: ProfileChangeSchema,
      responses: { 200: UserSchema },
      handler: async ({ caller, body }) => {
        const profile = found(await profiles.change(caller.subject, body));
        return { status: 200, body: { ...profile, roles: [...caller.roles] } };
      },
    }),
  ];
}

function found<Profile>(profile: Profile | undefined): Profile {
  if (profile === undefined) throw new Problem(404, 'The caller has no profile');
  return profile;
}
