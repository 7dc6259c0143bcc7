/**
 * What the benchmark and its client process say to each other: one JSON line each.
 *
 * @module
 */

import type { LoadOptions, Report } from "../load/load.ts";

/** A load to be begun. */
export interface LoadOrder {
  readonly load: Omit<LoadOptions, "identify" | "check">;
  /** Beside it, with windows of its own. */
  readonly webSockets?: Omit<LoadOptions, "identify" | "check">;
}

/** To the client. */
export type Order =
  | { readonly kind: "start"; readonly order: LoadOrder }
  | { readonly kind: "mark"; readonly label: string }
  | { readonly kind: "stop" };

/** Who answered how much in each slice of time. */
export interface Timeline {
  /** When the first slice begins: ms since 1970. */
  readonly beginsAt: number;
  readonly sliceMs: number;
  /** Answers per slice, by who gave them, in the order in which they were first seen. */
  readonly answers: Readonly<Record<string, readonly number[]>>;
  /** First answer, ms since 1970. */
  readonly firstAt: Readonly<Record<string, number>>;
}

/** From the client, when a load has ended. */
export interface ClientReport {
  readonly http: Report;
  readonly webSockets: Report | null;
  readonly timeline: Timeline;
}

/** A line from the client. */
export type Answer =
  | { readonly kind: "started" }
  | { readonly kind: "report"; readonly report: ClientReport }
  | { readonly kind: "error"; readonly message: string };
