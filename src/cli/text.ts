/**
 * Text for terminals: colours where they are wanted, and nothing in it that could steer the terminal.
 *
 * @module
 */

import type { Context, Output } from "./context.ts";

// "ESC [ … letter" (ECMA-48, 5.4) and "ESC ] … BEL or ESC \".
// deno-lint-ignore no-control-regex -- it is what is looked for
const SEQUENCES = new RegExp(
  "\\u001b\\[[0-?]*[ -/]*[@-~]|\\u001b\\][^\\u0007\\u001b]*(?:\\u0007|\\u001b\\\\)?",
  "g",
);

/** Text of somebody else, without what a terminal would obey. */
export function printable(text: string): string {
  return text.replace(SEQUENCES, "").replace(/\r\n?/g, "\n").replace(/[^\P{Cc}\n\t]/gu, "");
}

/** Kinds of emphasis. */
export interface Style {
  /** Well done. */
  good(text: string): string;
  /** Went wrong. */
  bad(text: string): string;
  /** By the way. */
  dim(text: string): string;
}

/**
 * The style for an output: colours on a terminal that has them, unless `NO_COLOR` (https://no-color.org) is set.
 *
 * @param output Where the text goes.
 * @param context Its environment.
 */
export function styleOf(output: Output, context: Context): Style {
  const coloured = isLive(output, context) && !variable(context, "NO_COLOR");
  const paint = (code: number) => (text: string) => coloured ? `\x1b[${code}m${text}\x1b[0m` : text;
  return { good: paint(32), bad: paint(31), dim: paint(2) };
}

/** Whether an output is a terminal on which more than lines can be written. */
export function isLive(output: Output, context: Context): boolean {
  return output.isTerminal && variable(context, "TERM") !== "dumb";
}

/** Not being allowed to read the environment is no reason to fail. */
function variable({ env }: Context, name: string): string | undefined {
  try {
    return env[name];
  } catch {
    return undefined;
  }
}
