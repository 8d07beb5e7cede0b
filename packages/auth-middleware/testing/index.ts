import { testForgedTokens } from './forged-tokens.ts';
import type { OpenGuarded } from './guarded.ts';
import { testOddClaims } from './odd-claims.ts';
import { testOddForms } from './odd-forms.ts';

export type { Guarded, OpenGuarded } from './guarded.ts';

/** Tests what every guard must refuse: J of the security checks. Each test opens one of its own. */
export function testInvalidTokens(open: OpenGuarded): void {
  testForgedTokens(open);
  testOddClaims(open);
  testOddForms(open);
}
