/**
 * From `--pid-file` or `--pid` to a process that may be signalled; what must not be is refused here.
 *
 * @module
 */

import { readPidText } from "../pid_file.ts";
import { CommandError, NOTHING_THERE, UsageError } from "./exit_codes.ts";
import { type Processes, signalNumber } from "./processes.ts";
import type { Target } from "./target.ts";

/** A target that is reached by signals. */
export type ProcessTarget = Exclude<Target, { readonly kind: "control" }>;

/** A process, also when its number is given away again. */
export interface Found {
  readonly pid: number;
  readonly birth: string | undefined;
}

/**
 * Finds the process that is meant.
 *
 * @throws {CommandError} `NOTHING_THERE`: no file, nothing in it that can be a process id, no such process, another user's.
 */
export function findProcess(target: ProcessTarget, processes: Processes): Found {
  const pid = target.kind === "pid" ? target.pid : readPidFile(target.path);
  const where = target.kind === "pid" ? "" : `; ${JSON.stringify(target.path)} is stale`;
  if (pid === processes.self) throw nothing(`pid ${pid} is this very command${where}`);
  let found;
  try {
    found = processes.look(pid);
  } catch (error) {
    throw nothing(`cannot look at process ${pid}: ${(error as Error).message}`);
  }
  switch (found) {
    case "gone":
      throw nothing(`there is no process ${pid}${where}`);
    case "foreign":
      throw nothing(`process ${pid} belongs to another user; run this as that user`);
    case "here":
      return { pid, birth: processes.birth(pid) };
  }
}

/**
 * Reads a PID file.
 *
 * @throws {CommandError} `NOTHING_THERE` when it cannot be read, or holds nothing that may be signalled.
 */
export function readPidFile(path: string): number {
  const name = JSON.stringify(path);
  let text;
  try {
    text = readPidText(path);
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message: string };
    if (code === "ENOENT") throw nothing(`there is no PID file ${name}; does the service run?`);
    throw nothing(`cannot read PID file ${name}: ${message}`);
  }
  if (text === undefined) throw nothing(`${name} is no file; a link is not followed`);
  const pid = /^\s*[0-9]{1,10}\s*$/.test(text) ? Number(text) : NaN;
  // kill(2): 0 and negative numbers mean groups, 1 is the first process of the machine or the container.
  if (!(pid > 1 && pid < 2 ** 31)) throw nothing(`${name} holds no process id of a service`);
  return pid;
}

/** Whether it is still that process. */
export function isThere({ pid, birth }: Found, processes: Processes): boolean {
  return processes.look(pid) !== "gone" && processes.birth(pid) === birth;
}

/**
 * Sends a signal, once it is certain that it does not kill by default.
 *
 * @throws {CommandError} `NOTHING_THERE` when the process does not handle it, or is gone.
 * @throws {UsageError} When there is no such signal.
 */
export function signalSafely({ pid }: Found, signal: string, processes: Processes): void {
  if (processes.catches(pid, signal) === false) {
    throw nothing(
      `process ${pid} does not handle ${signal}, which would kill it: it is no service of this kind, ` +
        "or has not come so far yet; nothing was sent",
    );
  }
  try {
    processes.signal(pid, signal);
  } catch (error) {
    throw nothing(`cannot send ${signal} to process ${pid}: ${(error as Error).message}`);
  }
}

/**
 * Reads `--signal`: `HUP`, `hup` and `SIGHUP` are the same.
 *
 * @throws {UsageError} When this system has none of that name, or it cannot be handled.
 */
export function signalNamed(text: string): string {
  const name = text.toUpperCase().replace(/^(?!SIG)/, "SIG");
  if (signalNumber(name) === undefined) {
    throw new UsageError(`--signal must be a signal such as SIGHUP, not ${JSON.stringify(text)}`);
  }
  if (name === "SIGKILL" || name === "SIGSTOP") {
    throw new UsageError(`--signal ${name} cannot be handled by any process, so it is never sent`);
  }
  return name;
}

function nothing(why: string): CommandError {
  return new CommandError(NOTHING_THERE, `nothing to talk to: ${why}`);
}
