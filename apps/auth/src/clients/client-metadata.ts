import { isStrongKey } from '@gatehouse/auth-middleware';
import { isLoopback } from '@gatehouse/service-kit';
import { z } from 'zod';
import { apiAudience, apiScopes } from '../protocol/scopes.ts';
import { confidentialClient, deviceGrant, publicClient, type RegisteredClient } from './clients.ts';

/** Whether this address is http, and so readable on its way, though maybe that way never leaves the machine. */
export const isPlainHttp = (url: string) => url.startsWith('http:');

const listOf = <Item extends z.ZodType>(item: Item) =>
  z
    .array(item)
    .max(20)
    .refine((values) => new Set(values).size === values.length, 'says the same twice');

const AddressSchema = z
  .string()
  .max(1000)
  .refine((text) => URL.canParse(text), { error: 'must be a URL', abort: true })
  .refine((text) => {
    const { username, password } = new URL(text);
    return !/[\s*#\\]/.test(text) && username === '' && password === '';
  }, 'must be one exact address, without a fragment, a wildcard or a password');

const SafeAddressSchema = AddressSchema.refine(
  (url) => url.startsWith('https:') || (isPlainHttp(url) && isLoopback(url)),
  'must be https, unless it is on this machine',
);

// What only the client may know has no place here.
const PublicKeySchema = z
  .discriminatedUnion('kty', [
    z.strictObject({
      kty: z.literal('EC'),
      crv: z.literal('P-256'),
      x: z.string(),
      y: z.string(),
      ...about('ES256'),
    }),
    z.strictObject({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: z.string(), ...about('EdDSA') }),
    z.strictObject({ kty: z.literal('RSA'), n: z.string(), e: z.string(), ...about('PS256') }),
  ])
  .refine(isStrongKey, 'is no key, or an RSA key of less than 2048 bits or with a small exponent');

function about<Algorithm extends string>(algorithm: Algorithm) {
  return {
    kid: z.string().optional(),
    use: z.literal('sig').optional(),
    alg: z.literal(algorithm).optional(),
  };
}

const MetadataSchema = z.strictObject({
  // What a path takes as it is: administrators withdraw consent at one that ends with it.
  client_id: z
    .string('is required')
    .regex(
      /^(?!\.{1,2}$)[\w.~!$&'()*+,=:@-]{1,100}$/,
      "must be 1 to 100 letters, digits and any of -._~!$&'()*+,=:@",
    ),
  // As with the names of people, what cannot be seen makes a name look like another one.
  client_name: z
    .string('is required')
    .regex(/^[^\p{C}\p{Zl}\p{Zp}]{1,100}$/u, 'must be 1 to 100 characters that can be seen'),
  application_type: z.enum(['web', 'native']).default('web'),
  token_endpoint_auth_method: z
    .enum(['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'])
    .default('client_secret_basic'),
  client_secret: z
    .string()
    .regex(
      /^[\x20-\x7e]{32,200}(\n[\x20-\x7e]{32,200})?$/,
      'must have 32 to 200 characters, all of them ASCII',
    )
    .optional(),
  jwks: z.strictObject({ keys: z.array(PublicKeySchema).min(1).max(10) }).optional(),
  grant_types: listOf(z.enum(['authorization_code', 'refresh_token', 'client_credentials', deviceGrant]))
    .min(1)
    .default(['authorization_code']),
  redirect_uris: listOf(AddressSchema).default([]),
  post_logout_redirect_uris: listOf(AddressSchema).default([]),
  backchannel_logout_uri: SafeAddressSchema.optional(),
  require_pushed_authorization_requests: z.boolean().default(false),
  dpop_bound_access_tokens: z.boolean().default(false),
  allowed_scopes: z
    .string()
    .default('')
    .transform((text) => text.split(' ').filter(Boolean))
    .pipe(listOf(z.enum(apiScopes))),
  resource_audience: z.literal(apiAudience).optional(),
});
type Metadata = z.output<typeof MetadataSchema>;

/**
 * One client as an operator describes it, in the names of RFC 7591 and OpenID Connect Registration: what is not safe, or
 * would make the server fetch something that the client chose, is no field of it. Of its secret only a hash is left.
 */
export const ConfiguredClientSchema = MetadataSchema.superRefine((metadata, ctx) => {
  for (const [path, message] of faultsOf(metadata)) ctx.addIssue({ code: 'custom', path, message });
}).transform(toRegistered);

type Fault = [path: (string | number)[], message: string];

function* faultsOf(metadata: Metadata): Generator<Fault> {
  const { token_endpoint_auth_method: method, grant_types, redirect_uris, application_type } = metadata;
  const hasSecret = method === 'client_secret_basic' || method === 'client_secret_post';
  const needs = { client_secret: hasSecret, jwks: method === 'private_key_jwt' };
  for (const [name, isNeeded] of Object.entries(needs) as [keyof typeof needs, boolean][]) {
    if ((metadata[name] !== undefined) === isNeeded) continue;
    yield [[name], isNeeded ? `is required with ${method}` : `has no place with ${method}`];
  }
  const asksPeople = grant_types.includes('authorization_code');
  if (asksPeople !== redirect_uris.length > 0) {
    yield [['redirect_uris'], `${asksPeople ? 'are required' : 'have no place'} with these grant_types`];
  }
  if (grant_types.includes('refresh_token') && !asksPeople && !grant_types.includes(deviceGrant)) {
    yield [['grant_types'], 'refresh_token needs a grant that a person gives'];
  }
  if (grant_types.includes('client_credentials') && method === 'none') {
    yield [['grant_types'], 'client_credentials is for clients that authenticate'];
  }
  if (metadata.resource_audience !== undefined && method === 'none') {
    yield [['resource_audience'], 'is for clients that authenticate'];
  }
  if (metadata.require_pushed_authorization_requests && !asksPeople) {
    yield [['require_pushed_authorization_requests'], 'has no place with these grant_types'];
  }
  const isAllowed = application_type === 'web' ? isWebAddress : isNativeAddress;
  for (const name of ['redirect_uris', 'post_logout_redirect_uris'] as const) {
    for (const [index, uri] of metadata[name].entries()) {
      if (!isAllowed(uri)) yield [[name, index], wrongAddress[application_type]];
    }
  }
}

const wrongAddress = {
  web: 'must be https, unless it is on this machine',
  native: 'must be https, http://127.0.0.1, http://[::1] or a scheme like com.example.app',
};

const isWebAddress = (uri: string) => SafeAddressSchema.safeParse(uri).success;

// RFC 8252, 7: any program can have localhost answer, and a short scheme belongs to nobody.
function isNativeAddress(uri: string): boolean {
  const { protocol, hostname } = new URL(uri);
  if (protocol === 'http:') return isLoopback(uri) && hostname !== 'localhost';
  return protocol === 'https:' ? !isLoopback(uri) : protocol.includes('.');
}

function toRegistered({ client_secret, allowed_scopes, ...metadata }: Metadata): RegisteredClient {
  const { token_endpoint_auth_method, backchannel_logout_uri, jwks, resource_audience, ...others } = metadata;
  const client: RegisteredClient = {
    ...others,
    ...(backchannel_logout_uri !== undefined && { backchannel_logout_uri }),
    ...(jwks && { jwks }),
    ...(resource_audience !== undefined && { resource_audience }),
    response_types: metadata.grant_types.includes('authorization_code') ? ['code'] : [],
    allowed_scopes: allowed_scopes.join(' '),
  };
  if (token_endpoint_auth_method === 'none') return publicClient(client);
  return client_secret === undefined
    ? { ...client, token_endpoint_auth_method }
    : { ...confidentialClient(client_secret, client), token_endpoint_auth_method };
}
