/**
 * Connections of servers that the runtime made itself (`Bun.listen`, `Deno.listen`) and does not tell: they are counted
 * from outside, and waited for.
 *
 * @module
 */

import type { Clock } from "../backend/backend.ts";
import type { Drainable, DrainPlan } from "./drain.ts";

/** What the backend knows about them. */
export interface CountedConnections {
  connections(): number;
  cut(): number;
}

// Counting takes a few microseconds per descriptor of the process.
const INTERVAL_MS = 50;

/** Waits for the connections of a server until the deadline. */
export function watchCounted(counted: CountedConnections): Drainable {
  let changed: (() => void) | undefined;
  return {
    kind: "native",
    connections: () => counted.connections(),
    begin(plan: DrainPlan, clock: Clock) {
      const end = clock.now() + plan.timeoutMs;
      const look = () => {
        changed?.();
        if (clock.now() < end && counted.connections() > 0) clock.after(INTERVAL_MS, look);
      };
      clock.after(INTERVAL_MS, look);
    },
    resume() {},
    onChange(receiver) {
      changed = receiver;
    },
    cut: () => counted.cut(),
    counts: () => ({ served: 0, closedIdle: 0, closedPolitely: 0 }),
  };
}
