/**
 * Which pairs of runtimes a run plays.
 *
 * @module
 */

import { test } from "node:test";
import { type Pair, runtimes } from "../support/runtimes.ts";
import { play, problem } from "./play.ts";
import type { Row } from "./row.ts";

const NAMES = ["node26", "deno", "bun"];

/** Every pair of Node 26, Deno and Bun, so that nine rows in a row have nine different ones. */
export const allPairs: readonly Pair[] = [0, 1, 2].flatMap((shift) =>
  NAMES.flatMap((name, index) => {
    const parent = runtimes.find((runtime) => runtime.name === name);
    const child = runtimes.find((runtime) => runtime.name === NAMES[(index + shift) % 3]);
    return parent === undefined || child === undefined
      ? []
      : [{ parent, child, title: `${parent.name} -> ${child.name}` }];
  })
);

/** Registers one test for each row, each with another pair: the short form of `npm run faults`. */
export function testRows(rows: readonly Row[], first: number): void {
  for (const [index, row] of rows.entries()) {
    const pair = allPairs[(first + index) % allPairs.length];
    if (pair === undefined) continue;
    const skip = problem(row) ?? false;
    const outcome = row.owner === "nobody" ? "everything ends in order" : `the ${row.owner} serves`;
    test(
      `when ${row.title}, ${outcome} (${pair.title})`,
      { timeout: 240_000, skip },
      () => play(row, pair),
    );
  }
}
