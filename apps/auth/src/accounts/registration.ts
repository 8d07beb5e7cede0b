import { TextSchema } from '@gatehouse/service-kit';
import { z } from 'zod';
import { normalizeUsername } from './accounts.ts';
import { passwordFault } from './passwords.ts';

/** What somebody says who asks for an account. */
export interface Registration {
  username: string;
  password: string;
  displayName: string;
  email?: string | undefined;
}

// Names that speak for whoever runs this, or that a program would take for something else.
const reservedNames = new Set(
  (
    'abuse account accounts admin administrator anonymous api auth contact gatehouse guest help helpdesk hostmaster ' +
    'info login logout mail me moderator nobody noreply no-reply null oauth official operator owner postmaster ' +
    'register root security self service staff superuser support sysadmin system token undefined user users webmaster'
  ).split(' '),
);

const usernameRule =
  'Please use 3 to 32 letters from a to z, digits, dots, hyphens and underscores, with a letter or digit at both ends.';

/** @param clientIds names that no account may have, so that a line of a log never names two at once */
export function registrationSchema(clientIds: readonly string[]) {
  const isFree = (name: string) => !reservedNames.has(name) && !clientIds.includes(name);
  return z
    .strictObject({
      username: TextSchema.transform(normalizeUsername)
        .refine((name) => /^[a-z0-9][a-z0-9._-]{1,30}[a-z0-9]$/.test(name), usernameRule)
        .refine(isFree, 'This name is reserved. Please choose another.'),
      password: z.string(),
      displayName: TextSchema.trim()
        .min(1, 'Please leave this out, or say how you want to be called.')
        .max(120, 'Please use at most 120 characters.')
        // Control, format and bidirectional characters make a name look like something else.
        .refine(
          (name) => !/[\p{C}\p{Zl}\p{Zp}]/u.test(name),
          'This contains a character that cannot be seen.',
        )
        .optional(),
      email: z
        .email('This is not an e-mail address.')
        .max(254, 'This is too long for an e-mail address.')
        .optional(),
    })
    .superRefine(({ username, password, email }, { addIssue }) => {
      const message = passwordFault(password, [username, email?.split('@')[0]]);
      if (message !== undefined) addIssue({ code: 'custom', path: ['password'], message });
    })
    .transform(
      ({ displayName, ...rest }): Registration => ({
        displayName: displayName ?? rest.username,
        ...rest,
      }),
    );
}
