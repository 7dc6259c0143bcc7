/**
 * What a group of processes costs: everything in one session (setsid(2)), children of children included.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** What one look at /proc says of a process. */
export interface ProcessLook {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
  /** User and system time so far, in ms; in ticks of 10 ms (proc_pid_stat(5)). */
  readonly cpuMs: number;
  readonly ended: boolean;
}

/** Reads one line of /proc/<pid>/stat; its second field may contain anything. */
export function parseStat(text: string): ProcessLook {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    pid: Number.parseInt(text, 10),
    parent: Number(fields[1]),
    session: Number(fields[3]),
    cpuMs: (Number(fields[11]) + Number(fields[12])) * 10,
    ended: fields[0] === "Z" || fields[0] === "X",
  };
}

/** Looks at one process; `undefined` when it is gone. */
export function lookAt(pid: number): ProcessLook | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return undefined;
  }
}

/** All processes of these sessions that run. */
export function membersOf(sessions: ReadonlySet<number>): ProcessLook[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name))
    .map((name) => lookAt(Number(name)))
    .filter((look): look is ProcessLook => look !== undefined && sessions.has(look.session))
    .filter(({ ended }) => !ended);
}

/** Memory of a process in MiB, pages that it shares counted in part (PSS, proc_pid_smaps_rollup(5)). */
export function memoryMiB(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
    return Number(/^Pss:\s*(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** Ends all processes of these sessions, and waits until they are gone. */
export async function endSessions(sessions: ReadonlySet<number>, limitMs = 5000): Promise<void> {
  for (const end = performance.now() + limitMs;;) {
    const left = membersOf(sessions);
    if (left.length === 0 || performance.now() > end) return;
    for (const { pid } of left) signal(pid, "SIGKILL");
    await sleep(20);
  }
}

/** Sends a signal; a process that is gone is none of our business. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended meanwhile.
  }
}
