/**
 * What a part of the benchmark is given, and what it gives back.
 *
 * @module
 */

/** How a part is to run. */
export interface PartContext {
  /** Wanted runs of each row. */
  readonly runs: number;
  /** Everything shorter, to see that it works: figures mean nothing. */
  readonly quick: boolean;
  /** Only rows whose name contains one of these; all when empty. */
  readonly rows: readonly string[];
  /** No run begins after this time (`performance.now()`). */
  readonly untilMs: number;
  /** Keeps what was measured so far. */
  readonly keep: (result: object) => void;
  readonly log: (text: string) => void;
}

/** A part: everything that it measured goes through `keep`. */
export type Part = (context: PartContext) => Promise<void>;

/** The rows that are wanted. */
export function wanted<T>(
  rows: readonly T[],
  names: readonly string[],
  nameOf: (row: T) => string,
): T[] {
  return rows.filter((row) =>
    names.length === 0 || names.some((name) => nameOf(row).includes(name))
  );
}
