/**
 * The processes of this machine, as `/proc` tells them (proc(5)): for `changeover run`.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";

/** One process. */
export interface ProcessEntry {
  readonly pid: number;
  /** Its parent. */
  readonly ppid: number;
  /** The session that it belongs to: the number of the process that began it. */
  readonly session: number;
  /** Whether it has ended and nobody has taken note. */
  readonly isZombie: boolean;
  /** How a zombie ended, as `waitpid(2)` tells it; 0 when that may not be read. */
  readonly exitStatus: number;
  /** When it was started, in clock ticks after the machine. */
  readonly started: number;
}

/** What is asked about processes. */
export interface ProcessTable {
  /** Whether there is a table: on Linux. */
  readonly isThere: boolean;
  /** All processes. */
  all(): readonly ProcessEntry[];
  /** One process. */
  get(pid: number): ProcessEntry | undefined;
  /** A variable of the environment that a process was started with; `undefined` also when that may not be read. */
  variable(pid: number, name: string): string | undefined;
}

function entry(pid: number): ProcessEntry | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined; // gone meanwhile
  }
  // The name in brackets may hold brackets and spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    pid,
    ppid: Number(fields[1]),
    session: Number(fields[3]),
    isZombie: /^[ZX]/.test(fields[0] ?? ""),
    exitStatus: Number(fields[49]),
    started: Number(fields[19]),
  };
}

/** The processes of this machine. */
export const processTable: ProcessTable = {
  get isThere() {
    return entry(process.pid) !== undefined;
  },
  all() {
    let names: readonly string[];
    try {
      names = readdirSync("/proc");
    } catch {
      return [];
    }
    return names.flatMap((name) => /^\d+$/.test(name) ? entry(Number(name)) ?? [] : []);
  },
  get: entry,
  variable(pid, name) {
    try {
      const text = readFileSync(`/proc/${pid}/environ`, "utf8");
      return text.split("\0").find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
    } catch {
      return undefined;
    }
  },
};
