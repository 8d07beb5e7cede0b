import { ConfigError, isLoopback, UrlSchema } from '@gatehouse/service-kit';
import { z } from 'zod';

/** What the environment says about signing in with another OpenID provider; nothing set means that none is offered. */
export const federationVariables = {
  FEDERATION_PRESET: z.enum(['google']).optional(),
  FEDERATION_ISSUER: UrlSchema.optional(),
  FEDERATION_NAME: z.string().max(60).optional(),
  FEDERATION_CLIENT_ID: z.string().optional(),
  FEDERATION_CLIENT_SECRET: z.string().optional(),
  /** How the secret is sent; without it, the way that OpenID Connect takes where a client says nothing. */
  FEDERATION_CLIENT_AUTH_METHOD: z.enum(['client_secret_basic', 'client_secret_post']).optional(),
};

type FederationVariables = z.output<z.ZodObject<typeof federationVariables>>;

/** The provider, and what Gatehouse is to it. */
export interface FederationSettings {
  issuer: string;
  /** What the sign-in page calls it. */
  name: string;
  clientId: string;
  clientSecret: string;
  authMethod?: FederationVariables['FEDERATION_CLIENT_AUTH_METHOD'];
}

const presets = { google: { issuer: 'https://accounts.google.com', name: 'Google' } };

/**
 * The provider that the variables describe, undefined when none is set.
 * @throws ConfigError with a line for each variable that is missing beside the others, or at odds with them
 */
export function federationSettings(variables: FederationVariables): FederationSettings | undefined {
  const {
    FEDERATION_PRESET: preset,
    FEDERATION_CLIENT_ID: clientId,
    FEDERATION_CLIENT_SECRET: clientSecret,
    FEDERATION_CLIENT_AUTH_METHOD: authMethod,
  } = variables;
  const names = Object.keys(federationVariables) as (keyof FederationVariables)[];
  const set = names.filter((name) => variables[name] !== undefined);
  if (set.length === 0) return undefined;

  const issuer = variables.FEDERATION_ISSUER ?? (preset && presets[preset].issuer);
  const name = variables.FEDERATION_NAME ?? (preset && presets[preset].name);
  const wanted = {
    FEDERATION_ISSUER: issuer,
    FEDERATION_NAME: name,
    FEDERATION_CLIENT_ID: clientId,
    FEDERATION_CLIENT_SECRET: clientSecret,
  };
  const faults = Object.entries(wanted)
    .filter(([, value]) => value === undefined)
    .map(([variable]) => `${variable}: is required together with ${set.join(', ')}`);
  if (preset && variables.FEDERATION_ISSUER !== undefined) {
    faults.push('FEDERATION_ISSUER: set either FEDERATION_PRESET or FEDERATION_ISSUER, not both');
  }
  if (issuer !== undefined && isInsecure(issuer)) {
    faults.push('FEDERATION_ISSUER: must be https, unless the provider is on this machine');
  }
  if (faults.length > 0 || !issuer || !name || !clientId || !clientSecret) throw new ConfigError(faults);
  return { issuer, name, clientId, clientSecret, authMethod };
}

/** Whether this address is not https, though it leads off this machine. */
export function isInsecure(url: string): boolean {
  return new URL(url).protocol !== 'https:' && !isLoopback(url);
}
