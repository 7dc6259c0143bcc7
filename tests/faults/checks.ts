/**
 * What the player looks at from outside: processes by a mark in their environment, descriptors, losses of the load.
 *
 * @module
 */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import process from "node:process";
import type { Outcome, Report } from "../../bench/load/load.ts";
import { isRunning } from "../support/chain.ts";

/** The environment variable by which all processes of a row are found, also those that nobody told of. */
export const MARK = "CHANGEOVER_FAULT_ROW";

/** Whether nothing of a process is left but its number: while other threads still end, its connections are open. */
export function hasEnded(pid: number): boolean {
  if (isRunning(pid)) return false;
  try {
    return readdirSync(`/proc/${pid}/task`).length <= 1;
  } catch {
    return true;
  }
}

/** The processes that carry a mark and have not ended. */
export function marked(mark: string): number[] {
  const wanted = `${MARK}=${mark}`;
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      return pid !== process.pid && !hasEnded(pid) &&
        readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(wanted);
    } catch {
      return false; // ended meanwhile
    }
  });
}

/** Whether a process is stopped by a signal. */
export function isStopped(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
  } catch {
    return false;
  }
}

/** Ends every process that carries a mark. */
export function endMarked(mark: string): void {
  for (const pid of marked(mark)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // Gone meanwhile.
    }
  }
}

function targets(pid: number | "self"): (readonly [fd: number, target: string])[] {
  return readdirSync(`/proc/${pid}/fd`).map(Number).sort((a, b) => a - b).flatMap((fd) => {
    try {
      return [[fd, readlinkSync(`/proc/${pid}/fd/${fd}`)] as const];
    } catch {
      return []; // closed meanwhile
    }
  });
}

// Whoever started the tests may have left descriptors open; some runtimes close such ones in their children.
const strangers = new Set(targets("self").map(([, target]) => target));

/** The descriptors of a process, without those that it has from whoever started these tests. */
export function descriptors(pid: number): string[] {
  return targets(pid).filter(([fd, target]) => fd < 3 || !strangers.has(target))
    .map(([fd, target]) => `${fd} ${target}`);
}

/** The smallest number that a process does not use for a descriptor. */
export function firstFree(pid: number): number {
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let free = 0;
  while (used.has(free)) free++;
  return free;
}

// What becomes of a request that was inside a process when it was killed.
const INSIDE: readonly Outcome[] = [
  "reset-before-response",
  "reset-after-partial",
  "eof-before-response",
  "answered-short",
  "connect-reset",
];

/** What may be lost. */
export interface Allowance {
  /** `performance.now()` when the last killed process was known to be gone; requests begun later are to be answered. */
  readonly until: number;
  /** Connections that the clients have at one time. */
  readonly connections: number;
  /** Whether nobody listened for a moment. */
  readonly refused: boolean;
}

/** Lists the losses that must not be. @param begun `performance.now()` when the load began. */
export function forbidden(
  report: Report,
  begun: number,
  allowance: Allowance | undefined,
): string[] {
  const wrong: string[] = [...report.inconsistencies];
  for (const account of [report, report.prober]) {
    if (account === null) continue;
    const found = account.losses.filter(({ outcome, begunMs }) =>
      allowance === undefined || begun + begunMs > allowance.until ||
      !(INSIDE.includes(outcome) || allowance.refused && outcome === "refused")
    );
    for (const { population, outcome, detail, begunMs, atMs } of found) {
      wrong.push(
        `${population}: ${outcome} (${detail}), begun at ${begunMs.toFixed(0)} ms, lost at ${
          atMs.toFixed(0)
        } ms`,
      );
    }
  }
  // A client has one connection at a time, and a process can be killed only once.
  if (allowance !== undefined && !allowance.refused && report.lost > allowance.connections) {
    wrong.push(`${report.lost} were lost, more than ${allowance.connections} can have been inside`);
  }
  return wrong;
}
