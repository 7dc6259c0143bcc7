/**
 * What is told about upgrades: reports, status, events.
 *
 * @module
 */

import type { Runtime } from "./backend/backend.ts";
import type { DrainReport } from "./drain/drain.ts";
import type { UpgradeError } from "./errors.ts";
import type { UpgradeRecord } from "./history.ts";
import type { LifecycleEvent, StateName } from "./machine.ts";
import type { DrainingGeneration } from "./protocol.ts";
import type { SocketAddress } from "./sockets.ts";

/** How a successful upgrade went. */
export interface UpgradeReport {
  /** Generation of the successor. */
  readonly generation: number;
  /** Process id of the successor. */
  readonly pid: number;
  /** Runtime of the successor: `"node"`, `"deno"` or `"bun"`. */
  readonly runtime: string;
  /** Version of that runtime. */
  readonly version: string;
  /** How many sockets were passed. */
  readonly sockets: number;
  /** How many bytes of application state were handed over. */
  readonly stateBytes: number;
  /** From the request until the successor was the owner, in milliseconds. */
  readonly durationMs: number;
  /** In a sequential upgrade: what became of the connections before the successor was started. */
  readonly pause?: DrainReport;
  /** When each step was over, in milliseconds after the request. */
  readonly steps: {
    /** In a sequential upgrade: nothing was accepted any more, and the connections were finished. */
    readonly pausedMs?: number;
    /** In a sequential upgrade: the application had released what only one process may hold. */
    readonly releasedMs?: number;
    /** The process was started and greeted. */
    readonly spawnedMs: number;
    /** It had read `hello` and found everything there; 0 when it did not say so. */
    readonly joinedMs: number;
    /** It said that it was ready. */
    readonly readyMs: number;
    /** It was told to take over; after the probation, if there is one. */
    readonly committedMs: number;
    /** It had taken over. */
    readonly ownedMs: number;
  };
}

/** What `status()` returns; plain JSON. */
export interface UpgraderStatus {
  /** Which process in the chain this is; the first is 1. */
  readonly generation: number;
  /** Its process id. */
  readonly pid: number;
  /** Its runtime. */
  readonly runtime: Runtime;
  /** Version of the runtime. */
  readonly version: string;
  /** Where it is in its life. */
  readonly state: StateName;
  /** The used sockets and where they are bound. */
  readonly sockets: readonly SocketAddress[];
  /** Open connections of the servers that are watched. */
  readonly connections: number;
  /** How far the drain is, or how it ended; `null` before it has begun. */
  readonly drain: DrainReport | null;
  /** Older generations that have connections to finish. */
  readonly draining: readonly DrainingGeneration[];
  /** The last upgrade of this process, or `null`. */
  readonly lastReport: UpgradeReport | null;
  /** The last ten upgrades of the service, also those of older generations; oldest first. */
  readonly history: readonly UpgradeRecord[];
}

/** What every event of an upgrader carries as its `detail`. */
export interface UpgraderEventDetail {
  /** What happened. */
  readonly event: LifecycleEvent;
  /** Generation of the process that tells. */
  readonly generation: number;
  /** Process id of the process that tells. */
  readonly pid: number;
  /** With `upgraded`. */
  readonly report?: UpgradeReport;
  /** With `upgrade-failed`. */
  readonly error?: UpgradeError;
  /** With `drained`. */
  readonly drain?: DrainReport;
}
