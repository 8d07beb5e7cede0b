import { servicePorts } from '../src/config.ts';

/** Variables by which each service but the gateway takes a port that is free. */
export const anyServicePort = Object.fromEntries(Object.keys(servicePorts).map((name) => [name, '0']));
