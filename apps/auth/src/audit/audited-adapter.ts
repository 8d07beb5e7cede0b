import { type Adapter, type AdapterFactory, type AdapterPayload, Provider } from 'oidc-provider';
import { orUnavailable } from '../protocol/unavailable.ts';
import type { AuditEvent, AuditLog } from './audit-log.ts';

/** Records what clients revoke, codes that come twice and what people answer to devices, before anything follows from it. */
export function withAudit(factory: AdapterFactory, audit: AuditLog): AdapterFactory {
  return (model) => {
    const adapter = factory(model);
    const recorded = (event: AuditEvent) =>
      orUnavailable(() => audit.record(event, Provider.ctx?.request.req));
    const audited: Pick<Adapter, 'find' | 'upsert' | 'destroy'> = {
      async find(id) {
        const payload = await adapter.find(id);
        const event = payload && codeReuse(model, payload);
        if (event) await recorded(event);
        return payload;
      },
      async upsert(id, payload, expiresIn) {
        const event = model === 'DeviceCode' && deviceAnswer(payload);
        if (event) await recorded(event);
        return adapter.upsert(id, payload, expiresIn);
      },
      async destroy(id) {
        const event = revocation(model);
        if (event) await recorded(event);
        return adapter.destroy(id);
      },
    };
    return { ...adapter, ...audited };
  };
}

// The library ends the grant of such a code by itself. One that comes twice at the same moment is the adapter's to see.
function codeReuse(model: string, payload: AdapterPayload): AuditEvent | undefined {
  const { consumed, accountId, clientId, grantId } = payload;
  const oidc = Provider.ctx?.oidc;
  const isCode = model === 'AuthorizationCode' || model === 'DeviceCode';
  if (!isCode || !consumed || oidc?.route !== 'token' || oidc.client?.clientId !== clientId) return undefined;
  const detail = { kind: model, gid: grantId };
  return { event: 'code-reuse', outcome: 'failure', accountId, clientId, detail };
}

function deviceAnswer({ accountId, clientId, grantId, error }: AdapterPayload): AuditEvent | undefined {
  const about = { event: 'device-approval', clientId } as const;
  if (accountId !== undefined) return { ...about, outcome: 'success', accountId, detail: { gid: grantId } };
  if (error === undefined) return undefined;
  const { session } = Provider.ctx?.oidc ?? {};
  return { ...about, outcome: 'failure', accountId: session?.accountId, detail: { reason: error } };
}

function revocation(model: string): AuditEvent | undefined {
  const oidc = Provider.ctx?.oidc;
  const token = oidc?.route === 'revocation' ? oidc.entities[model] : undefined;
  if (oidc === undefined || token === undefined) return undefined;
  const { accountId, grantId, jti } = token as { accountId?: string; grantId?: string; jti: string };
  // The jti of a refresh token is the token.
  const name = model === 'RefreshToken' ? {} : { jti };
  return {
    event: 'revocation',
    outcome: 'success',
    accountId,
    clientId: oidc.client?.clientId,
    detail: { kind: model, gid: grantId, ...name },
  };
}
