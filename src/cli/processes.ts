/**
 * Other processes: whether they are there, whether they are the same as before, and what they make of a signal.
 *
 * `/proc` (proc_pid_stat(5), proc_pid_status(5)) tells more than signals can; where it cannot be read (macOS, Deno without
 * `--allow-all`) the questions that only it answers are answered with `undefined`.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import process from "node:process";

/** What the commands ask about processes, and do to them; tests give one of their own. */
export interface Processes {
  /** `"foreign"`: it is there, and belongs to another user. A zombie is gone. */
  look(pid: number): "here" | "foreign" | "gone";
  /** Tells a process from a later one with the same number. */
  birth(pid: number): string | undefined;
  /** Whether it has a handler for a signal, which would otherwise end it. */
  catches(pid: number, signal: string): boolean | undefined;
  /** The processes that it has started and that are not taken over by others. */
  children(pid: number): readonly number[] | undefined;
  /** Sends a signal. */
  signal(pid: number, signal: string): void;
  /** The number of this very process. */
  readonly self: number;
}

/** The processes of this machine. */
export const processes: Processes = {
  look(pid) {
    try {
      process.kill(pid, 0);
    } catch (error) {
      const { code } = error as { readonly code?: string };
      if (code === "ESRCH") return "gone";
      if (code === "EPERM") return "foreign";
      throw error;
    }
    const [state = ""] = stat(pid) ?? [];
    return state === "Z" || state === "X" ? "gone" : "here";
  },
  birth: (pid) => stat(pid)?.[19],
  catches(pid, signal) {
    const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(read(`/proc/${pid}/status`) ?? "")?.[1];
    const number = signalNumber(signal);
    if (caught === undefined || number === undefined) return undefined;
    return (BigInt(`0x${caught}`) >> BigInt(number - 1) & 1n) === 1n;
  },
  children(pid) {
    try {
      return readdirSync(`/proc/${pid}/task`)
        .flatMap((thread) => (read(`/proc/${pid}/task/${thread}/children`) ?? "").split(" "))
        .filter((word) => word.trim() !== "").map(Number);
    } catch {
      return undefined;
    }
  },
  signal: (pid, signal) => void process.kill(pid, signal),
  self: process.pid,
};

/** The number of a signal, or `undefined` when this system has none of that name. */
export function signalNumber(name: string): number | undefined {
  return (constants.signals as Readonly<Record<string, number>>)[name];
}

/** The fields after the program's name, which may hold anything but is the last in parentheses. */
function stat(pid: number): readonly string[] | undefined {
  const text = read(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(")") + 2).split(" ");
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
