// Runs on: node26
import assert from "node:assert/strict";
import { test } from "node:test";
import { explore } from "./explore.ts";
import type { Bounds } from "./moves.ts";
import { isLeaving, type Process, type World } from "./world.ts";

/*
 * The short form of `npm run model`: what is explored here is explored completely, within its bounds.
 */

const CASES: readonly (readonly [string, Omit<Bounds, "probation" | "mode">, readonly number[]])[] =
  [
    [
      "where nothing goes wrong and nobody is late, every upgrade of three generations succeeds",
      { processes: 3, troubles: 0, upgrades: 2, punctual: true },
      [25, 25, 45],
    ],
    [
      "with timers that ring at any moment and any one trouble somebody accepts, nobody owns twice, all are answered",
      { processes: 2, troubles: 1, upgrades: 1 },
      [2_500, 4_000, 5_000],
    ],
    [
      "in three generations on time, with any one trouble, the same holds",
      { processes: 3, troubles: 1, upgrades: 1, punctual: true },
      [1_000, 1_000, 1_500],
    ],
  ];

const MODES = ["parallel", "sequential", "either"] as const;

for (const [title, bounds, leasts] of CASES) {
  for (const [index, mode] of MODES.entries()) {
    for (const probation of [false, true]) {
      test(
        `${title} (${mode}, ${probation ? "with" : "without"} probation)`,
        { timeout: 120_000 },
        () => {
          const found = explore({ ...bounds, mode, probation });
          assert.equal(found.story ?? "", "");
          const least = leasts[index] as number;
          assert.ok(found.states >= least, `${found.states} states`);
          assert.equal(found.isCut, false);
        },
      );
    }
  }
}

/** What the promises speak of: who is alive and does not leave. */
function serviceOf({ processes, pidFile }: World): string {
  const rest = processes.filter((process) => process.isAlive && !isLeaving(process));
  return JSON.stringify([rest.map(summary), rest.findIndex(({ id }) => id === pidFile)]);
}

function summary(process: Process): unknown {
  const { state, accepting, opening, hasJoined, isFrozen, isTorn, holds, doesWithout } = process;
  const { timers, waiting, spawning, signals, work, up, down, over } = process;
  const failure = "failure" in state ? state.failure.code : "";
  const letters = [...down, ".", ...over ? [] : up].map((each) =>
    typeof each === "string" ? each : each.name
  );
  return [
    [{ ...state, failure }, accepting, opening, hasJoined, isFrozen, isTorn, holds, doesWithout],
    [timers, waiting, spawning, signals, work, letters],
  ];
}

for (const mode of ["parallel", "sequential"] as const) {
  for (
    const bounds of [
      { processes: 2, troubles: 1, upgrades: 1 },
      { processes: 3, troubles: 0, upgrades: 1 },
    ]
  ) {
    const { processes, troubles } = bounds;
    test(
      `steps that are taken alone hide nothing (${mode}, ${processes} processes, ${troubles} troubles)`,
      { timeout: 120_000 },
      () => {
        const [whole, reduced] = [false, true].map((isReduced) => {
          const services = new Set<string>();
          const visit = (world: World) => void services.add(serviceOf(world));
          const all = { ...bounds, mode, probation: false };
          const { alone } = explore(all, undefined, { isReduced, visit });
          return { services, alone };
        });
        assert.deepEqual([...whole?.services ?? []].sort(), [...reduced?.services ?? []].sort());
        assert.equal(whole?.alone, 0);
        assert.notEqual(reduced?.alone, 0);
      },
    );
  }
}
