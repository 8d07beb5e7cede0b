import { CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhenResult } from 'cockatiel';

/** Asks an upstream no more once it has failed again and again, but for a request now and then that finds out. */
export interface Breaker {
  /** Lets a request ask, unless the upstream is given up for now. */
  admit(): Admission | undefined;
  /** Half open where one request finds out, or would if it came now. */
  state(): BreakerState;
}

export interface Admission {
  /** Whether all others are refused until this one tells. */
  readonly isProbe: boolean;
  /** Takes whether the upstream was well, or undefined where nobody can tell; once. */
  readonly tell: (isWell: boolean | undefined) => void;
}

export type BreakerState = 'closed' | 'half open' | 'open';

const mostFailures = 5;
const probeAfterMs = 500;
const isFailure = handleWhenResult((isWell) => isWell !== true);
const stateNames: Partial<Record<CircuitState, BreakerState>> = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.HalfOpen]: 'half open',
  [CircuitState.Open]: 'open',
};

/**
 * A breaker that opens after five failures in a row and tries one request every half second from then on, until one is
 * answered; after one that could not tell, the next at once.
 * @param onChange told of each state that it comes to
 */
export function createBreaker(onChange: (state: BreakerState) => void): Breaker {
  const policy = circuitBreaker(isFailure, {
    // Of the clock of the machine, which may be put back: when it is time is told below.
    halfOpenAfter: Number.NEGATIVE_INFINITY,
    breaker: new ConsecutiveBreaker(mostFailures),
  });
  let probeAt = 0;
  let hasFailed = false;
  policy.onBreak(() => {
    probeAt = performance.now() + probeAfterMs;
  });
  policy.onStateChange((state) => onChange(stateNames[state] ?? 'open'));

  const ordinary: Admission = {
    isProbe: false,
    tell(isWell) {
      // The policy would make a dozen promises for every request that goes well, and nothing comes of it but after a failure.
      if (isWell === undefined || (isWell && !hasFailed)) return;
      // Who was asked before it was given up says nothing of how it is now.
      if (policy.state !== CircuitState.Closed) return;
      hasFailed = !isWell;
      void policy.execute(() => isWell);
    },
  };

  function probe(): Admission {
    const { promise, resolve } = Promise.withResolvers<boolean | undefined>();
    void policy
      .execute(() => promise)
      .then((isWell) => {
        // Else clients that leave would have everybody else refused, by two requests a second.
        if (isWell === undefined) probeAt = 0;
      });
    return { isProbe: true, tell: resolve };
  }

  return {
    state() {
      const state = stateNames[policy.state] ?? 'open';
      return state === 'open' && performance.now() >= probeAt ? 'half open' : state;
    },
    admit() {
      if (policy.state === CircuitState.Closed) return ordinary;
      // The policy would have the others wait until the one that finds out is back.
      if (policy.state === CircuitState.HalfOpen || performance.now() < probeAt) return undefined;
      return probe();
    },
  };
}
