/**
 * Every failure of this library that a program may want to tell apart has a stable `code`.
 *
 * @module
 */

/** The codes of {@linkcode UpgradeError}; each is part of the public API. */
export const ERROR_CODES = [
  "ERR_ALREADY_CREATED",
  "ERR_UNSUPPORTED",
  "ERR_NOT_READY",
  "ERR_UPGRADE_IN_PROGRESS",
  "ERR_ALREADY_UPGRADED",
  "ERR_STOPPED",
  "ERR_TOO_MANY_GENERATIONS",
  "ERR_SPAWN",
  "ERR_CHILD_EXITED",
  "ERR_CHILD_FAILED",
  "ERR_UPGRADE_TIMEOUT",
  "ERR_ABORTED",
  "ERR_PROTOCOL",
  "ERR_ADDRESS",
  "ERR_ADOPT",
  "ERR_ROLLED_BACK",
] as const;

/** Why something failed: one of {@linkcode ERROR_CODES}. */
export type ErrorCode = typeof ERROR_CODES[number];

/** What an {@linkcode UpgradeError} can carry besides its message. */
export interface UpgradeErrorOptions {
  /** The error that led to this one. */
  readonly cause?: unknown;
  /** Exit code of the child, when it exited by itself. */
  readonly exitCode?: number;
  /** Name of the signal that ended the child, for example `"SIGKILL"`. */
  readonly signal?: string;
  /** What the child said last: its error's stack, or the end of its standard error, where it could be had. */
  readonly childOutput?: string;
}

const brand = Symbol.for("changeover.UpgradeError");

/**
 * An operation of this library failed in a way that has a name.
 *
 * The message says what happened and what to do; `code` is for programs.
 *
 * @example
 * ```ts
 * import { UpgradeError } from "@changeover/changeover";
 *
 * const error = new UpgradeError("ERR_STOPPED", "Cannot upgrade: the process is stopping");
 * console.log(UpgradeError.is(error), error.code);
 * ```
 */
export class UpgradeError extends Error {
  /** Stable name of the failure. */
  readonly code: ErrorCode;
  /** Exit code of the child, when it exited by itself. */
  readonly exitCode?: number;
  /** Name of the signal that ended the child. */
  readonly signal?: string;
  /** What the child said last, where it could be had. */
  readonly childOutput?: string;

  /**
   * An error with a code.
   *
   * @param code Stable name of the failure.
   * @param message What happened and what to do.
   * @param options The cause, and what is known of the child.
   */
  constructor(code: ErrorCode, message: string, options: UpgradeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "UpgradeError";
    this.code = code;
    if (options.exitCode !== undefined) this.exitCode = options.exitCode;
    if (options.signal !== undefined) this.signal = options.signal;
    if (options.childOutput !== undefined) this.childOutput = options.childOutput;
    Object.defineProperty(this, brand, { value: true });
  }

  /**
   * Tells whether a value is an `UpgradeError`, also one of another copy of this library.
   *
   * @param value Anything.
   * @returns Whether it carries this class's brand.
   */
  static is(value: unknown): value is UpgradeError {
    return typeof value === "object" && value !== null && brand in value;
  }
}
