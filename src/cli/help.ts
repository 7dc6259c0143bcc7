/**
 * Text of `--help`, made of the commands' descriptions.
 *
 * @module
 */

import type { Command, Option } from "./command.ts";
import { EXIT_CODES } from "./exit_codes.ts";

const HELP: Option = { name: "help", short: "h", help: ["say this"] };

/** Options that every command has. */
export const COMMON_OPTIONS: readonly Option[] = [HELP];

/**
 * The help of the program.
 *
 * @param commands What it can do.
 */
export function programHelp(commands: readonly Command[]): string {
  return text([
    "changeover: replaces running servers without losing a request",
    "",
    "Usage: changeover <command> [options]",
    "",
    "Commands:",
    ...columns([
      ...commands.map(({ name, summary }) => [name, [summary]] as const),
      ["help <command>", ["how a command works, with examples; also <command> --help"]],
    ]),
    "",
    "Options:",
    ...columns([["-h, --help", HELP.help], ["-V, --version", ["the version of this package"]]]),
    "",
    "Exit codes:",
    ...codes(EXIT_CODES),
    "",
    "A server can be upgraded when it uses the library: see https://jsr.io/@changeover/changeover",
  ]);
}

/**
 * The help of a command.
 *
 * @param command Which.
 */
export function commandHelp(command: Command): string {
  return text([
    `changeover ${command.name}: ${command.summary}`,
    "",
    `Usage: changeover ${command.name} ${command.usage}`,
    "",
    ...command.about,
    "",
    "Options:",
    ...columns(
      [...command.options, ...COMMON_OPTIONS].map((option) => [spelling(option), option.help]),
    ),
    "",
    "Examples:",
    ...command.examples.flatMap(([commandLine, purpose]) => [
      `  # ${purpose}`,
      `  ${commandLine}`,
    ]),
    "",
    "Exit codes:",
    ...codes(command.exitCodes ?? EXIT_CODES),
  ]);
}

function spelling({ name, short, value }: Option): string {
  return `${short === undefined ? "    " : `-${short}, `}--${name}${
    value === undefined ? "" : ` ${value}`
  }`;
}

function codes(of: readonly (readonly [number | string, string])[]): readonly string[] {
  return columns(of.map(([code, meaning]) => [String(code), [meaning]]));
}

/** Two columns; the right one may have several lines. */
function columns(rows: readonly (readonly [string, readonly string[]])[]): readonly string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.flatMap(([left, right]) =>
    right.map((line, index) => `  ${(index === 0 ? left : "").padEnd(width)}  ${line}`)
  );
}

function text(lines: readonly string[]): string {
  return lines.join("\n") + "\n";
}
