/**
 * What to start as the next generation: which command line, in which folder, with which environment.
 *
 * Everything is resolved again at each upgrade and checked before anything is started, so that a deployment that went
 * wrong (a deleted folder, a missing script, an unset variable) is told in plain words and costs nothing.
 *
 * @module
 */

import process from "node:process";
import { childEnvironment } from "./command_environment.ts";
import { below, type FileProbes, fileProbes, findProgram } from "./command_files.ts";
import { ownCommandLine, type ProcessFacts } from "./command_line.ts";
import { scriptOf } from "./command_script.ts";
import { readEnvFiles } from "./command_env_file.ts";
import { UpgradeError } from "./errors.ts";
import type { CommandOptions } from "./options.ts";

export { childEnvironment, type ChildEnvironmentOptions } from "./command_environment.ts";
export { type FileProbes, fileProbes, type FileUse } from "./command_files.ts";
export {
  collectFacts,
  ownCommandLine,
  ownWorkingDirectory,
  type ProcessFacts,
  type WorkingDirectoryFacts,
} from "./command_line.ts";

/** What {@linkcode resolveCommand} has to know of this process. */
export interface CommandContext {
  /** How this process was started. */
  readonly facts: ProcessFacts;
  /** Options of this one upgrade: `command` and `cwd` replace the lasting ones, `env` is merged over theirs. */
  readonly once?: CommandOptions;
  /** Names of variables that the lasting `envFile` had when this process was started. */
  readonly envFileNames?: ReadonlySet<string>;
  /**
   * The environment of this process.
   *
   * @default process.env
   */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /**
   * The file system.
   *
   * @default fileProbes
   */
  readonly probes?: FileProbes;
}

/** What to start; fits into a backend's `SpawnRequest`. */
export interface ResolvedCommand {
  /** Program and arguments; a program without a slash is on the child's `PATH`. */
  readonly command: readonly string[];
  /** Absolute, symbolic links untouched. */
  readonly cwd: string;
  /** The whole environment, without this library's variable. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Works out what to start, and checks that it can be started.
 *
 * It waits for the functions that users gave, as long as they take: whoever calls it sets the deadline.
 *
 * @param options The lasting options.
 * @param context This process, and the options of this one upgrade.
 * @returns Command, folder and environment.
 * @throws {UpgradeError} `ERR_SPAWN` for whatever is wrong; the message says what to do, `cause` is what a function threw.
 */
export async function resolveCommand(
  options: CommandOptions,
  context: CommandContext,
): Promise<ResolvedCommand> {
  const { facts, once = {}, probes = fileProbes } = context;
  const given = once.cwd ?? options.cwd;
  if (given !== undefined && (typeof given !== "string" || given === "" || given.includes("\0"))) {
    fail("`cwd` is no path", "give the folder in which to start");
  }
  const cwd = given === undefined ? facts.cwd : below(facts.cwd, given);
  const problem = probes.problem(cwd, "folder");
  if (problem !== undefined) {
    fail(
      `its working directory ${quote(cwd)} ${problem}`,
      given === undefined ? "restore it, or give `cwd`" : "correct `cwd`",
    );
  }

  const overlays = [
    readEnvFiles(options.envFile, cwd, context.envFileNames),
    readEnvFiles(once.envFile, cwd),
    await ask("env", options.env ?? {}),
    await ask("env", once.env ?? {}),
  ];
  const env = childEnvironment(currentEnvironment(context), { overlays, cwd });

  const source = once.command ?? options.command;
  const command = await ask("command", source ?? (() => ownCommandLine(facts)));
  checkCommand(command);
  checkProgram(command, { cwd, path: env["PATH"], probes });
  return { command: [...command], cwd, env };
}

function currentEnvironment(context: CommandContext): Record<string, string | undefined> {
  try {
    return { ...(context.environment ?? process.env) };
  } catch (cause) {
    // Deno throws NotCapable when it may not read all of it.
    return fail("its environment cannot be read", "grant --allow-env", cause);
  }
}

/** Takes a value or calls the user's function for it. */
async function ask<T extends object>(name: string, source: T | (() => T | Promise<T>)): Promise<T> {
  if (typeof source !== "function") return source;
  try {
    return await source();
  } catch (cause) {
    if (UpgradeError.is(cause) && cause.code === "ERR_SPAWN") throw cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    return fail(`\`${name}\` failed with ${quote(message)}`, "correct it and try again", cause);
  }
}

function checkCommand(command: readonly string[]): void {
  const texts = Array.isArray(command) && command.length > 0 &&
    command.every((text) => typeof text === "string" && !text.includes("\0"));
  if (texts && command[0] !== "") return;
  fail("`command` is no list of program and arguments", `give one such as ["node", "server.js"]`);
}

function checkProgram(
  command: readonly string[],
  at: { readonly cwd: string; readonly path: string | undefined; readonly probes: FileProbes },
): void {
  const program = command[0] ?? "";
  if (findProgram(program, at) === undefined) {
    if (!program.includes("/")) {
      fail(
        `its program ${quote(program)} is in no folder of PATH (${quote(at.path ?? "")})`,
        "install it, correct PATH, or give `command` with the full path",
      );
    }
    const path = below(at.cwd, program);
    fail(
      `its program ${quote(path)} ${at.probes.problem(path, "program")}`,
      "install it, or give `command`",
    );
  }
  const script = scriptOf(command);
  if (script === undefined) return;
  const path = below(at.cwd, script);
  const problem = at.probes.problem(path, "script");
  if (problem !== undefined) {
    fail(`its script ${quote(path)} ${problem}`, "deploy it first, or give `command` or `cwd`");
  }
}

function fail(what: string, todo: string, cause?: unknown): never {
  const message = `Cannot start the next generation: ${what}; ${todo}`;
  throw new UpgradeError("ERR_SPAWN", message, cause === undefined ? {} : { cause });
}

function quote(text: string): string {
  return JSON.stringify(text);
}
