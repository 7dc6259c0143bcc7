/**
 * Rounds over the rows of a part: A B C, C B A, and so on, as long as there is time.
 *
 * @module
 */

import { inTurn } from "./statistics.ts";

/** What became of one row. */
export interface RowRuns<Row, Run> {
  readonly row: Row;
  readonly runs: Run[];
  /** What failed, one text for each run without a result. */
  readonly failures: string[];
}

/** How often, and until when. */
export interface RoundsOptions<Row, Run> {
  readonly rows: readonly Row[];
  readonly runs: number;
  /** No run begins after this time (`performance.now()`). */
  readonly untilMs: number;
  readonly measure: (row: Row, round: number) => Promise<Run>;
  readonly name: (row: Row) => string;
  /** Called after each run, so that what was measured so far is kept when the part is ended from outside. */
  readonly keep: (all: readonly RowRuns<Row, Run>[]) => void;
  readonly log: (text: string) => void;
}

/** A row that fails so often is not tried again: the time is better spent on the others. */
const MOST_FAILURES = 2;

/** Measures every row once per round; one that fails is reported, and the others go on. */
export async function rounds<Row, Run>(
  { rows, runs, untilMs, measure, name, keep, log }: RoundsOptions<Row, Run>,
): Promise<RowRuns<Row, Run>[]> {
  const all = rows.map((row): RowRuns<Row, Run> => ({ row, runs: [], failures: [] }));
  for (let round = 0; round < runs; round++) {
    for (const each of inTurn(all, round)) {
      if (each.failures.length >= MOST_FAILURES) continue;
      if (performance.now() > untilMs) {
        log(`no time for more than ${round} whole rounds of ${runs}`);
        return all;
      }
      const begun = performance.now();
      try {
        each.runs.push(await measure(each.row, round));
        const seconds = ((performance.now() - begun) / 1000).toFixed(1);
        log(`${round + 1}/${runs} ${name(each.row)}: ${seconds} s`);
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        each.failures.push(text);
        log(`${round + 1}/${runs} ${name(each.row)}: FAILED, ${text}`);
      }
      keep(all);
    }
  }
  return all;
}
