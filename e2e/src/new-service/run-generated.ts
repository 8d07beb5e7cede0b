import { join } from 'node:path';
import { runTests } from '../run-tests.ts';
import { addressesOf, freePorts, startSystem, temporaryDirectory } from '../system.ts';

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

using directory = temporaryDirectory();
const ports = await freePorts();
const system = await startSystem(join(directory.path, 'data'), ports);
const passed = await runTests('{new-service/*,flows/boundaries}.test.ts', addressesOf(ports));
await system.stop();
process.exitCode = passed ? 0 : 1;
