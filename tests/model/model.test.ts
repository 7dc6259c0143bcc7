// Runs on: node26
import assert from "node:assert/strict";
import { test } from "node:test";
import { explore } from "./explore.ts";
import type { Bounds } from "./moves.ts";

/*
 * The short form of `npm run model`: what is explored here is explored completely, within its bounds.
 */

const CASES: readonly (readonly [string, Omit<Bounds, "probation">, number])[] = [
  [
    "where nothing goes wrong and nobody is late, every upgrade of three generations succeeds",
    { processes: 3, troubles: 0, upgrades: 2, punctual: true },
    60,
  ],
  [
    "with timers that ring at any moment and any one trouble somebody accepts, nobody owns twice, all are answered",
    { processes: 2, troubles: 1, upgrades: 1 },
    9_000,
  ],
  [
    "in three generations on time, with any one trouble, the same holds",
    { processes: 3, troubles: 1, upgrades: 1, punctual: true },
    2_000,
  ],
];

for (const [title, bounds, least] of CASES) {
  for (const probation of [false, true]) {
    test(
      `${title} (${probation ? "with" : "without"} probation)`,
      { timeout: 120_000 },
      () => {
        const found = explore({ ...bounds, probation });
        assert.equal(found.story ?? "", "");
        assert.ok(found.states >= least, `${found.states} states`);
        assert.equal(found.isCut, false);
      },
    );
  }
}
