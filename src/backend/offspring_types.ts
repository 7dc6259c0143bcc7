/**
 * Processes that `changeover run` starts, and those that fall to it: the words for them.
 *
 * @module
 */

import { constants } from "node:os";
import type { ExitStatus } from "./backend.ts";

/** A process to start, as one of a session of its own. */
export interface StartRequest {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Descriptors that it finds from 3 on, as sd_listen_fds(3) has it; `LISTEN_PID` is added to the environment. */
  readonly fds: readonly number[];
}

/** What this process is the parent of. */
export interface Offspring {
  /** Whether no orphan stays as a zombie; if not: what would help. */
  readonly reaps: true | string;
  /** Whether orphans fall to it, so that their ends are told. */
  readonly adopts: boolean;
  /** Processes of its own that are none of the service's. */
  readonly helpers: readonly number[];
  /** The session of all that it starts; `undefined`: each start begins one, of the number of the process. */
  readonly session?: number;
  /** Starts the process. @returns Its number. @throws {StartError} */
  start(): Promise<number>;
  /** Called for each child that has ended. */
  onEnd(receiver: (pid: number, status: ExitStatus) => void): void;
  /** Looks for adopted children that have ended. Called when something may have happened. */
  collect(): void;
  /** Lets go. */
  close(): void;
}

/** The program could not be started. */
export class StartError extends Error {
  /** 127: not found, 126: cannot be executed, as shells have it. */
  readonly exitCode: number;

  /** An error with an exit code. */
  constructor(exitCode: number, message: string) {
    super(message);
    this.name = "StartError";
    this.exitCode = exitCode;
  }
}

const SIGNAL_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name]),
);

/** What `waitpid(2)` says, in words. */
export function exitStatus(status: number): ExitStatus {
  const signal = status & 0x7f; // WTERMSIG; the bit above says that there is a core file
  return signal === 0
    ? { code: (status >> 8) & 0xff, signal: null }
    : { code: null, signal: SIGNAL_NAMES.get(signal) ?? `SIG${signal}` };
}

/** How a shell tells an end in its exit code. */
export function exitCodeOf({ code, signal }: ExitStatus): number {
  if (code !== null) return code;
  const number = constants.signals[signal as keyof typeof constants.signals] ??
    Number(signal?.slice(3));
  return 128 + (number || 0);
}

/** Why a program could not be started, with the exit code of a shell. */
export function startError(program: string, error: unknown): StartError {
  const { code, message } = error as { code?: string; message: string };
  const what = `cannot start ${JSON.stringify(program)}: `;
  if (code === "ENOENT") return new StartError(127, `${what}there is no such program`);
  if (code === "EACCES") return new StartError(126, `${what}it may not be executed`);
  return new StartError(126, `${what}${message}`);
}
