export { type Browser, type Cookie, createBrowser, type Page } from './browser.ts';
export { type CollectedSpan, type Collector, startCollector } from './collector.ts';
export { cpuMs } from './cpu-time.ts';
export { freePort } from './free-port.ts';
export { type ListeningApp, listenApp } from './listen-app.ts';
export { nodeSettings } from './node-settings.ts';
export { createProofKey, type ProofKey } from './proof-key.ts';
export { type RawResponse, rawRequest } from './raw-request.ts';
export {
  type RealServer,
  realServer,
  type ServerOptions,
  startHaproxy,
  startPostgres,
  startRedis,
  startSentinel,
} from './real-server.ts';
export { checksIn } from './server-timing.ts';
export { createTestIssuer, type TestIssuer } from './test-issuer.ts';
