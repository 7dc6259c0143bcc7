/**
 * The seam between the logic of `changeover run` and the machine.
 *
 * @module
 */

import type { Member } from "./family.ts";

/** How a process ended. */
export interface End {
  /** Exit code, of a process that exited by itself. */
  readonly code: number | null;
  /** The signal that ended it. */
  readonly signal: string | null;
}

/** What a supervisor asks of the machine. */
export interface World {
  /** Milliseconds that never go back. */
  now(): number;
  /** Calls back once. @returns Takes it back. */
  after(ms: number, callback: () => void): () => void;
  /** Starts a first generation. @throws {Error} with an `exitCode` when that cannot be done. */
  start(): Promise<number>;
  /** The living processes of the service, those that were left by an earlier start not among them. */
  members(): readonly Member[];
  /** Whether a process still runs, and is no later one of the same number. */
  isAlive(member: Member): boolean;
  /** Sends a signal. @returns Whether there was somebody to get it. */
  kill(pid: number, signal: string): boolean;
  /** How long the end of a process may have been seen before it is told to `Supervisor.told`; 0: it is not told. */
  toldWithinMs(pid: number): number;
  /** Looks whether some end is to be told. */
  collect(): void;
  /** Who has told that it owns the service, and has not taken it back. */
  owner(): number | undefined;
  /** Tells the operator. */
  say(message: string): void;
  /** How an end is told as an exit code. */
  exitCode(end: End): number;
}

/** What the user wants. */
export interface Wishes {
  /** Whether a service that has failed is started again. */
  readonly restart: boolean;
  /** How long after a stop signal everything that is left is killed; `undefined`: never. */
  readonly graceMs: number | undefined;
}
