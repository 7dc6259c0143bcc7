/**
 * What a command is: how it is called, how it explains itself, and where its code lies.
 *
 * @module
 */

import type { Arguments } from "./arguments.ts";
import type { Context } from "./context.ts";

/** An option of a command. */
export interface Option {
  /** Without the dashes: `"control"`. */
  readonly name: string;
  /** One letter, for `-w`. */
  readonly short?: string;
  /** What stands for its value in the help, such as `"PATH"`; an option without is a flag. */
  readonly value?: string;
  /** Whether it can be given more than once. */
  readonly repeats?: boolean;
  /** What it does: one or more lines of help. */
  readonly help: readonly string[];
}

/**
 * Does what a command is for.
 *
 * @returns The exit code.
 * @throws {CommandError} When it cannot; the message is printed, and the program ends with its code.
 */
export type Execute = (args: Arguments, context: Context) => Promise<number>;

/** A command: pure description, so that help costs nothing; its code is loaded when it runs. */
export interface Command {
  /** The word that calls it. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What follows the name in the usage line. */
  readonly usage: string;
  /** Lines that teach what it does. */
  readonly about: readonly string[];
  /** What it can be told. */
  readonly options: readonly Option[];
  /** Command lines and what they are for. */
  readonly examples: readonly (readonly [commandLine: string, purpose: string])[];
  /** Exit codes, when the common ones do not fit. */
  readonly exitCodes?: readonly (readonly [code: string | number, meaning: string])[];
  /** Whether a command line of somebody else may follow, after `--` or from the first word that is no option. */
  readonly takesCommand?: boolean;
  /** Loads the code. */
  readonly load: () => Promise<{ readonly execute: Execute }>;
}
