/**
 * Runs the promises in every world that there is.
 *
 * @module
 */

import { test } from "node:test";
import { current } from "../support/runtimes.ts";
import { fakeLimits, fakeWorld } from "./fake.ts";
import { type Kind, memoryKinds } from "./kinds.ts";
import { realKinds, realLimits, realWorld, skipReal } from "./real.ts";
import type { Clause, World } from "./world.ts";

interface Place {
  readonly name: string;
  readonly cannot: World["cannot"];
  readonly kinds: readonly Kind[];
  readonly skip: string | false;
  make(): Promise<World & AsyncDisposable>;
}

const places: readonly Place[] = [
  { name: "in memory", cannot: fakeLimits, kinds: memoryKinds, skip: false, make: fakeWorld },
  { name: current().name, cannot: realLimits(), kinds: realKinds, skip: skipReal, make: realWorld },
];

/** Registers one test for each promise and world; what cannot be seen is skipped with the reason. */
export function testContract(clausesFor: (kinds: readonly Kind[]) => readonly Clause[]): void {
  for (const { name, cannot, kinds, skip, make } of places) {
    for (const clause of clausesFor(kinds)) {
      const missing = clause.needs?.map((need) => cannot[need]).find((why) => why !== undefined);
      const options = { skip: skip || missing || false, timeout: 60_000 };
      test(`${clause.title} (${name})`, options, async () => {
        // Timers and signal handlers of a backend keep nothing alive, and Node ends a test that nothing keeps alive.
        const hold = setInterval(() => {}, 1_000_000);
        const world = await make();
        try {
          await clause.run(world);
        } finally {
          await world[Symbol.asyncDispose]();
          clearInterval(hold);
        }
      });
    }
  }
}
