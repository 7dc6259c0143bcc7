/**
 * Breaks the world around a running parent, and mends it.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { firstFree } from "./checks.ts";
import type { Trouble } from "./row.ts";

/** Where the row plays. */
export interface Place {
  readonly pid: number;
  /** Folder of the PID file, which may be a file system of its own. */
  readonly run: string;
  /** A folder for whatever is needed. */
  readonly folder: string;
}

/** What is to be broken, and how it is mended. */
export interface Broken {
  /** What the upgrade is asked to start instead. */
  readonly command?: readonly string[];
  /** What the child is started through. */
  readonly wrapper?: readonly string[];
  /** Whether the PID file and the Unix path are lost with it. */
  readonly namesGone?: boolean;
  mend(): void;
}

const nothing = (): void => {};
const NEEDS_MOUNT: readonly Trouble[] = ["PID file's folder read-only", "disk full"];
const SIZE = 65_536;

/** Whether the folder of the PID file has to be a file system of its own. */
export function needsMount(trouble: Trouble | undefined): boolean {
  return trouble !== undefined && NEEDS_MOUNT.includes(trouble);
}

/** Why a file system cannot be mounted here; `undefined` where it can. */
export function mountProblem(folder: string): string | undefined {
  if (process.getuid?.() !== 0) return "only root mounts file systems";
  try {
    mount(folder);
    unmount(folder);
    return undefined;
  } catch {
    return "this machine mounts no file systems";
  }
}

/** Mounts a small file system. */
export function mount(folder: string): void {
  run("mount", "-t", "tmpfs", "-o", `size=${SIZE}`, "tmpfs", folder);
}

/** Unmounts it, also when somebody still uses it. */
export function unmount(folder: string): void {
  run("umount", "-l", folder);
}

function run(...[file = "", ...args]: string[]): void {
  execFileSync(file, args, { stdio: ["ignore", "ignore", "ignore"], timeout: 20_000 });
}

/** Breaks it. */
export function breakWorld(
  trouble: Trouble | undefined,
  { pid, run: names, folder }: Place,
): Broken {
  switch (trouble) {
    case undefined:
      return { mend: nothing };
    case "no such program":
      return { command: [join(folder, "no-such-program")], mend: nothing };
    case "a program that may not be executed": {
      const program = join(folder, "program");
      writeFileSync(program, "#!/bin/sh\n", { mode: 0o644 });
      return { command: [program], mend: nothing };
    }
    case "no memory":
      // RLIMIT_DATA: RLIMIT_AS is less than what a runtime reserves when it starts.
      return { wrapper: ["/bin/sh", "-c", 'ulimit -d 4000; exec "$@"', "sh"], mend: nothing };
    case "no descriptor left": {
      const limit = (soft: string) => run("prlimit", `--pid=${pid}`, `--nofile=${soft}:`);
      // One is left, and a channel needs two.
      limit(String(firstFree(pid) + 1));
      return { mend: () => limit("1024") };
    }
    case "PID file's folder gone":
      rmSync(names, { recursive: true });
      return { namesGone: true, mend: () => mkdirSync(names) };
    case "PID file's folder read-only":
      run("mount", "-o", "remount,ro", names);
      return { mend: () => run("mount", "-o", "remount,rw", names) };
    case "disk full":
      fill(join(names, "fill"));
      return { mend: () => rmSync(join(names, "fill")) };
  }
}

function fill(path: string): void {
  try {
    for (;;) writeFileSync(path, new Uint8Array(4096), { flag: "a" });
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOSPC") throw error;
  }
}
