/** How many requests may be asked twice, so that an upstream in trouble does not get twice the load. */
export interface RetryBudget {
  /** Notes an answer; ten of them pay for one retry. */
  earn(): void;
  /** Takes one retry, if there is one left. */
  spend(): boolean;
}

const answersPerRetry = 10;

/**
 * A budget that begins full.
 * @param mostSaved how many retries may be kept for later
 */
export function createRetryBudget(mostSaved: number): RetryBudget {
  const most = mostSaved * answersPerRetry;
  let saved = most;
  return {
    earn() {
      if (saved < most) saved++;
    },
    spend() {
      if (saved < answersPerRetry) return false;
      saved -= answersPerRetry;
      return true;
    },
  };
}
