/**
 * Through which runtimes the server goes. Pure.
 *
 * @module
 */

import type { TestRuntime } from "../scripts/runtimes.mjs";

type Kind = TestRuntime["runtime"];

/** Begins with a Node that replaces a Node, and then has each of the nine pairs of runtimes exactly once. */
const ALL: readonly Kind[] = [
  "node",
  "node",
  "deno",
  "bun",
  "node",
  "bun",
  "bun",
  "deno",
  "deno",
  "node",
];
const SHORT: readonly Kind[] = ["node", "node", "deno", "bun", "node"];

/** One runtime for each generation; different versions of Node take turns. */
export function tourOf(present: readonly TestRuntime[], short: boolean): TestRuntime[] {
  const turns = new Map<Kind, number>();
  return (short ? SHORT : ALL).flatMap((kind) => {
    const choices = present.filter(({ runtime }) => runtime === kind);
    const turn = turns.get(kind) ?? 0;
    turns.set(kind, turn + 1);
    const choice = choices[turn % choices.length];
    return choice === undefined ? [] : [choice];
  });
}

/** How many different pairs of parent and child a tour has, of the nine that there are. */
export function pairsOf(tour: readonly TestRuntime[]): number {
  return new Set(
    tour.slice(1).map(({ runtime }, index) => `${tour[index]!.runtime} ${runtime}`),
  ).size;
}
