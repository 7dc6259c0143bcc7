/**
 * The results of all parts, as far as they are there.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { About } from "../machine.ts";
import type { FlipRun } from "../parts/flip.ts";
import type { IdleRun } from "../parts/idle.ts";
import type { PeerRun } from "../parts/peers.ts";
import type { SocketsRun } from "../parts/sockets.ts";
import type { StartRun } from "../parts/start.ts";
import type { StateRun } from "../parts/state.ts";
import type { ThroughputRun } from "../parts/throughput.ts";

/** One row of a part, with all its runs. */
export interface ResultRow<Run> {
  readonly name: string;
  readonly label: string;
  readonly failures: readonly string[];
  readonly runs: readonly Run[];
}

/** A row of the part `peers`. */
export interface PeerRow extends ResultRow<PeerRun> {
  readonly ours: boolean;
  readonly practice: string;
  readonly source: string;
}

/** A file of results. */
export interface Result<Row> extends About {
  readonly rows: readonly Row[];
}

/** What each part says besides its rows. */
export interface Results {
  readonly flip?: Result<ResultRow<FlipRun>>;
  readonly peers?: Result<PeerRow> & {
    readonly clients: Readonly<Record<string, number>>;
    readonly thinkMs: number;
    readonly timeoutMs: number;
    readonly skipped: Readonly<Record<string, string>>;
  };
  readonly start?: Result<ResultRow<StartRun>> & { readonly upgradesPerRun: number };
  readonly sockets?: Result<ResultRow<SocketsRun>> & { readonly counts: readonly number[] };
  readonly throughput?: Result<ResultRow<ThroughputRun>> & { readonly connections: number };
  readonly idle?: Result<ResultRow<IdleRun>> & {
    readonly connections: number;
    readonly idleGraceMs: number;
  };
  readonly state?: Result<ResultRow<StateRun>> & { readonly bytes: number };
}

const NAMES = ["flip", "peers", "start", "sockets", "throughput", "idle", "state"] as const;

/** Reads what is there. */
export function readResults(folder: string): Results {
  return Object.fromEntries(
    NAMES.map((name) => [name, join(folder, `${name}.json`)] as const)
      .filter(([, path]) => existsSync(path))
      .map(([name, path]) => [name, JSON.parse(readFileSync(path, "utf8"))]),
  );
}

/** Rows that were measured at least once. */
export function measured<Row extends ResultRow<unknown>>(result: Result<Row> | undefined): Row[] {
  return (result?.rows ?? []).filter(({ runs }) => runs.length > 0);
}
