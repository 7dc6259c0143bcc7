/**
 * The shape of an account, and how its numbers are added up and compared. Pure.
 *
 * @module
 */

import type { Latency } from "./histogram.ts";
import type { IdentityReport, WentBack } from "./identities.ts";
import { type Outcome, type OutcomeCounts, OUTCOMES } from "./outcome.ts";
import type { WindowReport } from "./windows.ts";

/** One loss, for whoever has to find out why; times in ms since the load began. */
export interface Loss {
  readonly atMs: number;
  readonly begunMs: number;
  readonly population: string;
  readonly fresh: boolean;
  readonly outcome: Outcome;
  readonly detail: string;
}

/** How the requests of one population ended. */
export interface PopulationReport {
  readonly sent: number;
  readonly answered: number;
  readonly lost: number;
  readonly outcomes: OutcomeCounts;
}

/** The account as plain JSON. */
export interface TallyReport extends PopulationReport {
  /** Everything that was begun: `sent` and `not-sent`. */
  readonly requests: number;
  /** Without an outcome yet; 0 after a stop. */
  readonly inFlight: number;
  readonly notSent: number;
  /** Whole events of all streams. */
  readonly events: number;
  /** `"eof-before-response/reused/eof"`: class, first or later request of its connection, detail. */
  readonly lossKinds: Readonly<Record<string, number>>;
  /** The first 100 losses. */
  readonly losses: readonly Loss[];
  readonly latency: Latency;
  readonly windows: readonly WindowReport[];
  readonly populations: Readonly<Record<string, PopulationReport>>;
  readonly identities: readonly IdentityReport[];
  readonly wentBack: WentBack;
  readonly connections: Readonly<
    { dialled: number; opened: number; endings: Record<string, number> }
  >;
  /** Whether counters that were kept independently of each other agree: only then believe the rest. */
  readonly consistent: boolean;
  /** What does not agree. */
  readonly inconsistencies: readonly string[];
}

/** Compares pairs of counters; returns a text for each pair that differs. */
export function audit(
  pairs: readonly (readonly [text: string, left: number, right: number])[],
): string[] {
  return pairs.filter(([, left, right]) => left !== right)
    .map(([text, left, right]) => `${text}: ${left} and ${right}`);
}

/** Adds up the classes of one population, or of all. */
export function sumUp(outcomes: OutcomeCounts): PopulationReport {
  let sent = 0;
  for (const outcome of OUTCOMES) if (outcome !== "not-sent") sent += outcomes[outcome];
  return { sent, answered: outcomes.answered, lost: sent - outcomes.answered, outcomes };
}
