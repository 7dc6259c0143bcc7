/**
 * How commands end: the exit codes, which are part of the public API, and the errors that lead to them.
 *
 * @module
 */

/** Upgraded, stopped, told: what was asked for has happened. */
export const OK = 0;
/** It failed, and the process that served before still serves. */
export const FAILED = 1;
/** The command line is wrong; nothing was done. */
export const USAGE = 2;
/** There is nothing to talk to: no process, no socket, nobody listening, or not for this user. */
export const NOTHING_THERE = 3;
/** Not decided within `--timeout`; what was begun goes on. */
export const TIMED_OUT = 4;
/** A mistake of this program: `EX_SOFTWARE` of sysexits.h, which none of the others can be taken for. */
export const INTERNAL = 70;
/** Ctrl-C or SIGTERM while waiting, as shells count: 128 and the number of the signal. */
export const INTERRUPTED: Readonly<Record<string, number>> = { SIGINT: 130, SIGTERM: 143 };

/** What the codes mean, for help and docs. */
export const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [OK, "done: upgraded, stopped, told"],
  [FAILED, "failed; the process that served before still serves"],
  [USAGE, "the command line is wrong; nothing was done"],
  [NOTHING_THERE, "nothing to talk to: no such process or socket, or not for this user"],
  [TIMED_OUT, "not decided within --timeout; what was begun goes on"],
];

/** A command cannot do what it was asked for; the message is for the person who asked. */
export class CommandError extends Error {
  /** How the program ends. */
  readonly exitCode: number;

  /**
   * An error with an exit code.
   *
   * @param exitCode How the program ends.
   * @param message What happened and what to do, as the rest of a line that begins with `changeover: `.
   */
  constructor(exitCode: number, message: string) {
    super(message);
    this.name = "CommandError";
    this.exitCode = exitCode;
  }
}

/** The command line is wrong. */
export class UsageError extends CommandError {
  /** An error with exit code 2. */
  constructor(message: string) {
    super(USAGE, message);
    this.name = "UsageError";
  }
}
