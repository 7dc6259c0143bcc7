/**
 * Counters of a service that outlive its processes: each generation goes on from what its parent has told.
 *
 * @module
 */

import type { DrainReport } from "./drain/drain.ts";

/** Upper bounds of the histogram of durations, in seconds. */
export const DURATION_BOUNDS: readonly number[] = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What has been counted; plain JSON. */
export interface TotalCounts {
  /** Upgrades by how they ended: `"upgraded"`, or the code of the error. */
  readonly upgrades: Readonly<Record<string, number>>;
  /** Successful upgrades that took at most so long: one count per bound of {@linkcode DURATION_BOUNDS}, not cumulated. */
  readonly durations: readonly number[];
  /** How long the successful ones took together, in seconds. */
  readonly seconds: number;
  /** Connections that replaced generations let finish. */
  readonly drained: number;
  /** Connections that they had to cut. */
  readonly cut: number;
}

const NONE: TotalCounts = { upgrades: {}, durations: [], seconds: 0, drained: 0, cut: 0 };
const MAX_RESULTS = 64;

/** Counts, on top of what earlier generations have counted. */
export class Totals {
  /** What the parent has told last; it tells it again, with more, when it has drained. */
  #before: TotalCounts = NONE;
  #own: TotalCounts = NONE;

  /** Everything that was counted. */
  get counts(): TotalCounts {
    return sum(this.#before, this.#own);
  }

  /** What the parent has counted; anything that is no count is none. */
  inherit(told: Readonly<Record<string, unknown>>): void {
    const { upgrades, durations } = told;
    this.#before = {
      upgrades: Object.fromEntries(
        Object.entries(upgrades ?? {}).slice(0, MAX_RESULTS)
          .map(([result, count]) => [result.slice(0, 64), number(count)]),
      ),
      durations: Array.isArray(durations)
        ? DURATION_BOUNDS.map((_bound, index) => number(durations[index]))
        : [],
      seconds: number(told["seconds"]),
      drained: number(told["drained"]),
      cut: number(told["cut"]),
    };
  }

  /** An upgrade succeeded. */
  upgraded(durationMs: number): void {
    const seconds = durationMs / 1000;
    const at = DURATION_BOUNDS.findIndex((bound) => seconds <= bound);
    this.#add({
      ...NONE,
      upgrades: { upgraded: 1 },
      durations: DURATION_BOUNDS.map((_bound, index) => index === at ? 1 : 0),
      seconds,
    });
  }

  /** An upgrade failed, or was refused. */
  failed(code: string): void {
    this.#add({ ...NONE, upgrades: { [code]: 1 } });
  }

  /** This process has drained. */
  drained({ connections, cut }: DrainReport): void {
    this.#add({ ...NONE, drained: Math.max(0, connections - cut), cut });
  }

  #add(more: TotalCounts): void {
    this.#own = sum(this.#own, more);
  }
}

function number(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

function sum(one: TotalCounts, other: TotalCounts): TotalCounts {
  const results = new Set([...Object.keys(one.upgrades), ...Object.keys(other.upgrades)]);
  return {
    upgrades: Object.fromEntries(
      [...results].map((
        result,
      ) => [result, (one.upgrades[result] ?? 0) + (other.upgrades[result] ?? 0)]),
    ),
    durations: DURATION_BOUNDS.map((_bound, index) =>
      (one.durations[index] ?? 0) + (other.durations[index] ?? 0)
    ),
    seconds: one.seconds + other.seconds,
    drained: one.drained + other.drained,
    cut: one.cut + other.cut,
  };
}
