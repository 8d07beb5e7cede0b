import type { AuditEventName } from './audit-log.ts';

/** Keeps strangers from filling the disk: so many failures a minute are recorded, and the others are counted. */
export interface FailureBound {
  /** Whether there is room for one more failure from this network. */
  admit(event: AuditEventName, network: string): boolean;
  /** Begins the next minute; returns how many failures of which kind found no room and are not settled yet. */
  turn(): ReadonlyMap<AuditEventName, number>;
  /** So many of a kind have been recorded as a number. */
  settle(event: AuditEventName, recorded: number): void;
}

export const mostFailures = { ofNetwork: 10, ofAll: 100 };

/** A minute's worth of room, in this process. */
export function createFailureBound(): FailureBound {
  let admitted = 0;
  // As long as the bound for all at the most.
  let ofNetwork = new Map<string, number>();
  const refused = new Map<AuditEventName, number>();

  return {
    admit(event, network) {
      const earlier = ofNetwork.get(network) ?? 0;
      if (admitted >= mostFailures.ofAll || earlier >= mostFailures.ofNetwork) {
        refused.set(event, (refused.get(event) ?? 0) + 1);
        return false;
      }
      admitted += 1;
      ofNetwork.set(network, earlier + 1);
      return true;
    },
    turn() {
      admitted = 0;
      ofNetwork = new Map();
      return new Map(refused);
    },
    settle(event, recorded) {
      const left = (refused.get(event) ?? 0) - recorded;
      if (left > 0) refused.set(event, left);
      else refused.delete(event);
    },
  };
}
