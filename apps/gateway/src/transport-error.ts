const reasons = {
  DEADLINE: 'the whole exchange took too long',
  OVERLOADED: 'too many requests are under way',
  BROKEN: 'it has failed again and again',
  CODED: 'its answer has a transfer coding that nobody asked for',
};

/** The gateway itself gave up. */
export class TransportError extends Error {
  override name = 'TransportError';
  readonly code: keyof typeof reasons;
  constructor(code: keyof typeof reasons) {
    super(reasons[code]);
    this.code = code;
  }

  /** Whether the upstream was not asked, so that this says nothing of it. */
  get isUnasked(): boolean {
    return this.code === 'OVERLOADED' || this.code === 'BROKEN';
  }
}
