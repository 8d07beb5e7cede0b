import assert from 'node:assert/strict';
import { testInvalidTokens } from '@gatehouse/auth-middleware/testing';
import { startTestGateway } from './start-gateway.ts';

// Whatever is refused, no upstream hears of it.
testInvalidTokens(async (t, issuer) => {
  const gateway = await startTestGateway(t, { ...(issuer && { issuer }) });
  return {
    issuer: gateway.issuer,
    denylist: gateway.denylist,
    async get(token) {
      const before = gateway.received.length;
      const { status, headers, text } = await gateway.send('/items', {
        headers: { authorization: `Bearer ${token}` },
      });
      assert.equal(gateway.received.length - before, status === 200 ? 1 : 0);
      return new Response(text, { status, headers: Object.entries(headers) as [string, string][] });
    },
  };
});
