/**
 * The report of a load: plain JSON.
 *
 * @module
 */

import type { TallyReport } from "./account.ts";

/** The account of a load: plain JSON. */
export interface Report extends TallyReport {
  readonly durationMs: number;
  /** Answered requests per second, the prober's not counted. */
  readonly rps: number;
  /** The prober's own account, or `null` when there is none. Its losses are in no other number of the report. */
  readonly prober: ProberReport | null;
}

/** The account of the prober. */
export interface ProberReport extends TallyReport {
  /** Probes that were left out because too many were under way: the client was overloaded. */
  readonly skipped: number;
}

/** What the tallies do not know. */
export interface ReportParts {
  readonly nowMs: number;
  readonly main: TallyReport;
  readonly probes: TallyReport | undefined;
  readonly skipped: number;
}

/** Puts the two accounts together; consistent only when both are. */
export function reportOf({ nowMs, main, probes, skipped }: ReportParts): Report {
  const inconsistencies = [
    ...main.inconsistencies,
    ...(probes?.inconsistencies ?? []).map((text) => `prober: ${text}`),
  ];
  return {
    durationMs: Math.round(nowMs),
    rps: nowMs > 0 ? Math.round(main.answered / nowMs * 1000) : 0,
    ...main,
    consistent: inconsistencies.length === 0,
    inconsistencies,
    prober: probes === undefined ? null : { ...probes, skipped },
  };
}
