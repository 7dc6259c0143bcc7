/**
 * The logic of the program: which command, with which arguments, and how it ends.
 *
 * @module
 */

import { type Arguments, nearest, parseArguments } from "./arguments.ts";
import type { Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { type Context, line } from "./context.ts";
import { CommandError, INTERNAL, OK, USAGE, UsageError } from "./exit_codes.ts";

/**
 * Runs the program.
 *
 * @param words Its arguments.
 * @param context Where it runs.
 * @param commands What it can do.
 * @returns The exit code.
 */
export async function run(
  words: readonly string[],
  context: Context,
  commands: readonly Command[] = COMMANDS,
): Promise<number> {
  const [first, ...others] = words;
  const help = () => import("./help.ts");
  if (first === "--version" || first === "-V" || first === "version") {
    line(context.out, (await import("./version.ts")).VERSION);
    return OK;
  }
  if (first === undefined) {
    context.err.write((await help()).programHelp(commands));
    return USAGE;
  }
  const asked = first === "help" || first === "--help" || first === "-h";
  const name = asked ? others.find((word) => !word.startsWith("-")) : first;
  if (name === undefined) {
    context.out.write((await help()).programHelp(commands));
    return OK;
  }
  const command = commands.find((command) => command.name === name);
  if (command === undefined) {
    const meant = nearest(name, commands.map((command) => command.name));
    const what = name.startsWith("-") ? "option" : "command";
    const guess = meant === undefined ? "" : `; did you mean "${meant}"?`;
    line(context.err, `changeover: there is no ${what} ${JSON.stringify(name)}${guess}`);
    line(context.err, `Try: changeover --help`);
    return USAGE;
  }
  if (asked || asksForHelp(others, command)) {
    context.out.write((await help()).commandHelp(command));
    return OK;
  }
  return await execute(command, others, context);
}

async function execute(
  command: Command,
  words: readonly string[],
  context: Context,
): Promise<number> {
  let args: Arguments | undefined;
  try {
    args = parseArguments(words, command);
    const { execute } = await command.load();
    return await execute(args, context);
  } catch (error) {
    if (!(error instanceof CommandError)) {
      line(context.err, `changeover: this is a mistake in changeover itself`);
      line(context.err, error instanceof Error ? error.stack ?? error.message : String(error));
      return INTERNAL;
    }
    if (error.message !== "") line(context.err, `changeover: ${error.message}`);
    if (error instanceof UsageError) line(context.err, `Try: changeover ${command.name} --help`);
    // Whoever reads JSON reads JSON also when there was nobody to answer it.
    if (args?.has("json")) {
      const { name, message, exitCode } = error;
      line(context.out, JSON.stringify({ ok: false, error: { name, message }, exitCode }));
    }
    return error.exitCode;
  }
}

/** Help goes before everything that may be wrong; what follows `--` or a foreign command is not ours. */
function asksForHelp(words: readonly string[], command: Command): boolean {
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--help" || word === "-h") return true;
    if (word === "--" || (command.takesCommand && !word.startsWith("-"))) return false;
    const takesValue = command.options.some(({ name, short, value }) =>
      value !== undefined && (word === `--${name}` || (short !== undefined && word === `-${short}`))
    );
    if (takesValue) index++;
  }
  return false;
}
