/**
 * Which service is meant: `--control`, `--pid-file` or `--pid`.
 *
 * @module
 */

import { resolve } from "node:path";
import type { Arguments } from "./arguments.ts";
import { TARGET_OPTIONS } from "./commands/target_options.ts";
import { UsageError } from "./exit_codes.ts";

/** Where to find a service. */
export type Target =
  | { readonly kind: "control"; readonly path: string }
  | { readonly kind: "pid-file"; readonly path: string }
  | { readonly kind: "pid"; readonly pid: number };

/** What `sun_path` holds, less its final zero: 108 on Linux, 104 elsewhere (unix(7)). */
const LONGEST_SOCKET_PATH = 107;

// Greater than any process id of any system; pid_t is signed, so a greater one would mean a group.
const GREATEST_PID = 2 ** 31 - 1;

/**
 * Reads the options.
 *
 * @throws {UsageError} When none or more than one is given, or when what is given cannot be one.
 */
export function targetOf(args: Arguments): Target {
  const given = TARGET_OPTIONS.map(({ name }) => name).filter((name) => args.has(name));
  const [kind] = given;
  if (kind === undefined) {
    throw new UsageError("which service? Say --control PATH, --pid-file PATH or --pid N");
  }
  if (given.length > 1) {
    throw new UsageError(`--${given.join(" and --")} cannot be given together: one is enough`);
  }
  const value = args.get(kind) ?? "";
  if (kind === "pid") return { kind, pid: processId(value) };
  if (value.includes("\0")) throw new UsageError(`--${kind} must be a path`);
  if (kind === "pid-file") return { kind, path: resolve(value) };
  const bytes = new TextEncoder().encode(value).length;
  if (bytes > LONGEST_SOCKET_PATH) {
    throw new UsageError(
      `the path of a socket has at most ${LONGEST_SOCKET_PATH} bytes, this one has ${bytes}; ` +
        "change to its folder and give a relative one",
    );
  }
  // Not resolved: a relative path may be the only one that is short enough.
  return { kind: "control", path: value };
}

/** How the target is written on a command line. */
export function spell(target: Target): string {
  return target.kind === "pid" ? `--pid ${target.pid}` : `--${target.kind} ${quote(target.path)}`;
}

function processId(value: string): number {
  const pid = /^[0-9]{1,10}$/.test(value) ? Number(value) : NaN;
  if (!(pid <= GREATEST_PID)) {
    throw new UsageError(`--pid must be a process id, not ${JSON.stringify(value)}`);
  }
  // kill(2): 0 is the own group, -1 everybody; 1 is the system's or the container's first process.
  if (pid <= 1) throw new UsageError(`--pid ${pid} is no service; it is never signalled`);
  return pid;
}

function quote(path: string): string {
  return /^[\w./@:+,-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
