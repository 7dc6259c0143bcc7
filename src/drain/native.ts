/**
 * Connections of servers that the runtime made itself (`Bun.listen`, `Deno.listen`) and does not tell: they are counted
 * from outside, and waited for.
 *
 * @module
 */

import type { Clock } from "../backend/backend.ts";
import type { NativeConnections } from "../backend/native.ts";
import type { Drainable, DrainPlan } from "./drain.ts";
import { lookUntilNone } from "./looking.ts";

/** What the backend knows about them. */
export interface CountedConnections {
  /** How many there are now. */
  connections(): number;
  /** The same, found out in portions between which the event loop turns. */
  count(): Promise<number>;
  cut(): number;
}

/** Counts the sockets of a server, also those whose other end is gone. */
export function countSockets(sockets: NativeConnections): CountedConnections {
  return {
    connections() {
      const { open, over } = sockets.now();
      return open.length + over;
    },
    async count() {
      const { open, over } = await sockets.look();
      return open.length + over;
    },
    cut() {
      const { open, over } = sockets.now();
      for (const connection of open) sockets.close(connection);
      return open.length + over;
    },
  };
}

/** Waits for the connections of a server until the deadline. */
export function watchCounted(counted: CountedConnections): Drainable {
  let changed: (() => void) | undefined;
  let running: DrainPlan | undefined;
  let [first, left]: (number | undefined)[] = [];
  return {
    kind: "native",
    // That there is none is known at the end only.
    connections: () => running === undefined ? counted.connections() : left ?? 1,
    begin(plan: DrainPlan, clock: Clock, settled: Promise<void>) {
      running = plan;
      first = left = undefined;
      const isEnded = () => running !== plan || left === 0;
      const look = async () => {
        const count = await counted.count();
        if (isEnded()) return 0;
        first ??= count;
        left = count || undefined;
        changed?.();
        return count;
      };
      void lookUntilNone(look, { clock, settled, isEnded }).then((isNone) => {
        if (!isNone) return;
        left = 0;
        changed?.();
      });
    },
    resume() {
      running = undefined;
    },
    onChange(receiver) {
      changed = receiver;
    },
    cut() {
      left = 0;
      return counted.cut();
    },
    counts: () => ({ connections: first ?? 0, served: 0, closedIdle: 0, closedPolitely: 0 }),
  };
}
