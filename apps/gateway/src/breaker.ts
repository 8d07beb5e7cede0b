import { CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhenResult } from 'cockatiel';

/** Asks an upstream no more once it has failed again and again, but for a request now and then that finds out. */
export interface Breaker {
  /**
   * Does `ask` unless the upstream is given up for now.
   * @param ask resolves to whether the upstream was well, or undefined where nobody can tell; told whether all others are
   * refused until then
   * @returns whether it was done
   */
  admit(ask: (isProbe: boolean) => Promise<boolean | undefined>): boolean;
  /** Half open where one request finds out, or would if it came now. */
  state(): BreakerState;
}

export type BreakerState = 'closed' | 'half open' | 'open';

const mostFailures = 5;
const probeAfterMs = 500;
const isFailure = handleWhenResult((isWell) => isWell === false);
const stateNames: Partial<Record<CircuitState, BreakerState>> = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.HalfOpen]: 'half open',
  [CircuitState.Open]: 'open',
};

/**
 * A breaker that opens after five failures in a row and tries one request every half second from then on, until one is
 * answered.
 * @param onChange told of each state that it comes to
 */
export function createBreaker(onChange: (state: BreakerState) => void): Breaker {
  const policy = circuitBreaker(isFailure, {
    // Of the clock of the machine, which may be put back: when it is time is told below.
    halfOpenAfter: Number.NEGATIVE_INFINITY,
    breaker: new ConsecutiveBreaker(mostFailures),
  });
  let probeAt = 0;
  policy.onBreak(() => {
    probeAt = performance.now() + probeAfterMs;
  });
  policy.onStateChange((state) => onChange(stateNames[state] ?? 'open'));

  return {
    state() {
      const state = stateNames[policy.state] ?? 'open';
      return state === 'open' && performance.now() >= probeAt ? 'half open' : state;
    },
    admit(ask) {
      // The policy would have the others wait until the one that finds out is back.
      if (policy.state === CircuitState.HalfOpen) return false;
      if (policy.state === CircuitState.Open && performance.now() < probeAt) return false;
      const isProbe = policy.state === CircuitState.Open;
      const run = async () => {
        const isWell = await ask(isProbe);
        if (isWell !== undefined) return isWell;
        if (isProbe) return false;
        // Neither a success nor a failure to the policy.
        throw new Error('nobody can tell');
      };
      policy.execute(run).catch(() => {});
      return true;
    },
  };
}
