export { type Guarded, testInvalidTokens } from './invalid-tokens.ts';
