/**
 * How this process was started: its command line and working directory, as they were typed.
 *
 * A release folder is often a symbolic link (`current -> releases/41`). The runtimes resolve it: `process.cwd()`
 * always, and the script in `process.argv` on the way. Whoever starts that again starts the old release for ever.
 * `/proc/self/cmdline` and `$PWD` still have what was typed.
 *
 * @module
 */

import process from "node:process";
import { below, type FileProbes, fileProbes, findProgram } from "./command_files.ts";
import { UpgradeError } from "./errors.ts";

/** What is known of this process's start; {@linkcode collectFacts} gathers it. */
export interface ProcessFacts {
  /** The kernel's command line; `undefined` where it cannot be read. `process.title` may have overwritten it. */
  readonly cmdline: readonly string[] | undefined;
  /** The name under which the program was started. */
  readonly argv0: string;
  /** What to start next time: `argv0` if it led to this very program, else the path of the program. */
  readonly program: string;
  /** Flags of the runtime, as `process.execArgv` has them. */
  readonly execArgv: readonly string[];
  /** Whether `execArgv` has them all: on Deno it has none. */
  readonly execArgvComplete: boolean;
  /** `process.argv`. */
  readonly argv: readonly string[];
  /** The folder in which the process was started, symbolic links untouched where they are known. */
  readonly cwd: string;
  /** The folder that the runtime put in front of a relative script in `argv`. */
  readonly realCwd: string;
}

/** Where {@linkcode ownWorkingDirectory} finds the two candidates. */
export interface WorkingDirectoryFacts {
  /** The environment's `PWD`. */
  readonly pwd: string | undefined;
  /** `process.cwd()`, without symbolic links. */
  readonly cwd: string;
}

const EVALUATE = /^(?:-[ep]+|--(?:eval|print)(?:=.*)?)$/s;
const NO_SCRIPT = /^-$|(?:^|\/)(?:\$deno\$(?:eval|stdin|repl)\b[^/]*|\[(?:eval|stdin)\])$/;
/** Where a compiled Bun program finds its entry point. */
const EMBEDDED = "/$bunfs/";

/**
 * Gathers how this process was started. Call it early, before the program changes directory or sets `process.title`,
 * and before a release link can be switched.
 *
 * @param readCmdline Reads `/proc/self/cmdline`; `undefined` or a throw where it cannot be read.
 * @param probes The file system.
 * @returns The facts, with `execArgvComplete` set, which a backend corrects; it does not throw.
 */
export function collectFacts(
  readCmdline: () => string | undefined,
  probes: FileProbes = fileProbes,
): ProcessFacts {
  // On Deno each of these may be denied.
  const pwd = attempt(() => process.env["PWD"]);
  const path = attempt(() => process.env["PATH"]);
  const realCwd = attempt(() => process.cwd()) ?? pwd ?? "/";
  const execArgv = [...process.execArgv];
  const cwd = ownWorkingDirectory({ pwd, cwd: realCwd }, probes);
  const moved = beforeCwdFlag({ pwd, cwd: realCwd }, execArgv, probes);
  const { argv0, execPath } = process;
  const found = findProgram(argv0, { path, cwd: moved ?? cwd, probes });
  const same = found !== undefined && sameFile(found, execPath, probes);
  return {
    cmdline: splitCmdline(attempt(readCmdline)),
    argv0,
    program: same ? argv0 : execPath,
    execArgv,
    execArgvComplete: true,
    argv: [...process.argv],
    cwd: moved ?? cwd,
    realCwd: moved ?? realCwd,
  };
}

/**
 * The working directory as it was typed: `$PWD` if that is the same folder, else what the kernel says.
 *
 * Ask at the start: once a release link was switched, `$PWD` rightly leads elsewhere.
 *
 * @param facts The two candidates.
 * @param probes The file system.
 * @returns An absolute path.
 */
export function ownWorkingDirectory(
  facts: WorkingDirectoryFacts,
  probes: FileProbes = fileProbes,
): string {
  const { pwd, cwd } = facts;
  return pwd?.startsWith("/") && sameFile(pwd, cwd, probes) ? pwd : cwd;
}

/**
 * The command line that starts this program again.
 *
 * The kernel's if it is intact, otherwise one put together from what the runtime tells; the script then is
 * absolute, and below the un-realpathed working directory if it was below the real one.
 *
 * @param facts How this process was started.
 * @returns Program and arguments; a program without a slash is looked up on `PATH` when it is started.
 * @throws {UpgradeError} `ERR_SPAWN` when there is no script (`-e`, standard input, a REPL), or flags cannot be told.
 */
export function ownCommandLine(facts: ProcessFacts): readonly string[] {
  const { cmdline, argv, argv0, program, execArgv } = facts;
  const [, script, ...args] = argv;
  if (script === undefined || NO_SCRIPT.test(script) || execArgv.some((f) => EVALUATE.test(f))) {
    throw new UpgradeError(
      "ERR_SPAWN",
      "Cannot tell what to start: this process runs no script that could be started again; give `command`",
    );
  }
  if (cmdline !== undefined && isIntact(cmdline, facts)) return [program, ...cmdline.slice(1)];
  // Compiled programs: Node's begin argv with argv0 twice over, Bun's with a path inside of themselves.
  if (script === argv0 || script.startsWith(EMBEDDED)) return [program, ...args];
  if (facts.execArgvComplete) return [program, ...execArgv, rebase(script, facts), ...args];
  throw new UpgradeError(
    "ERR_SPAWN",
    "Cannot tell the flags with which this process was started: its command line cannot be read, or `process.title` has overwritten it; " +
      "import this library before the title is set, grant --allow-all or --allow-ffi, or give `command`",
  );
}

/**
 * `process.title = ...` overwrites the first argument, and what follows with NULs (libuv, `uv_set_process_title`; seen
 * on Node 20 to 26 and Deno 2.9, not on Bun). Nothing is said about `argv`, because programs like to edit that.
 */
function isIntact(cmdline: readonly string[], facts: ProcessFacts): boolean {
  const [first, ...rest] = cmdline;
  if (first !== facts.argv0) return false;
  return rest.length === 0 ? facts.argv.length <= 2 : rest.some((text) => text !== "");
}

function rebase(script: string, { cwd, realCwd }: ProcessFacts): string {
  const inside = cwd !== realCwd && script.startsWith(`${realCwd}/`);
  return inside ? cwd + script.slice(realCwd.length) : script;
}

/** `bun --cwd=app server.ts` changes directory first, and its command line is relative to where that happened. */
function beforeCwdFlag(
  { pwd, cwd }: WorkingDirectoryFacts,
  execArgv: readonly string[],
  probes: FileProbes,
): string | undefined {
  const at = execArgv.findIndex((flag) => flag === "--cwd" || flag.startsWith("--cwd="));
  const flag = execArgv[at];
  if (flag === undefined || !pwd?.startsWith("/")) return undefined;
  const folder = flag === "--cwd" ? execArgv[at + 1] ?? "" : flag.slice("--cwd=".length);
  return sameFile(below(pwd, folder), cwd, probes) ? pwd : undefined;
}

function splitCmdline(text: string | undefined): readonly string[] | undefined {
  // Each argument ends with a NUL, the last one too; an empty last argument is two NULs.
  return text ? text.replace(/\0$/, "").split("\0") : undefined;
}

function sameFile(a: string, b: string, probes: FileProbes): boolean {
  const identity = probes.identity(a);
  return identity !== undefined && identity === probes.identity(b);
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
