/**
 * Answers per second of each generation, from accounts that only go up.
 *
 * @module
 */

/** Who has answered how often. */
export type Counts = ReadonlyMap<string, number>;

/** Keeps the counts of the last second or so. */
export class Rates {
  readonly #overMs: number;
  readonly #samples: { readonly atMs: number; readonly counts: Counts }[] = [];

  /** @param overMs Over how long to average. */
  constructor(overMs: number) {
    this.#overMs = overMs;
  }

  /** Adds counts; returns answers per second of each. */
  add(atMs: number, counts: Counts): ReadonlyMap<string, number> {
    this.#samples.push({ atMs, counts });
    // The oldest that is kept is the youngest that is old enough.
    while ((this.#samples[1]?.atMs ?? Infinity) <= atMs - this.#overMs) this.#samples.shift();
    const oldest = this.#samples[0]!;
    const seconds = (atMs - oldest.atMs) / 1000;
    if (seconds === 0) return new Map();
    return new Map(
      [...counts].map((
        [name, count],
      ) => [name, (count - (oldest.counts.get(name) ?? 0)) / seconds]),
    );
  }
}
