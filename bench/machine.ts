/**
 * What was measured on which machine with which versions.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { cpus, loadavg, release, totalmem } from "node:os";
import process from "node:process";
import { discover } from "../scripts/runtimes.mjs";
import { PM2_VERSION } from "./peers/pm2.ts";

/** For every file of results. */
export interface About {
  readonly command: string;
  readonly date: string;
  readonly machine: string;
  /** Average number of processes that wanted to run, in the minute before the part began. */
  readonly loadAverage: number;
  readonly client: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly quick: boolean;
  readonly wantedRuns: number;
}

/** Versions of everything that is compared. */
export function versions(): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { name, executable } of discover().present) {
    found[name] = outputOf(executable, "--version").split("\n")[0]!.replace(/^deno /, "");
  }
  for (const nginx of ["nginx", "/usr/sbin/nginx"]) {
    const version = /nginx\/(\S+)/.exec(outputOf(nginx, "-v"))?.[1];
    if (version !== undefined) found["nginx"] = version;
  }
  found["pm2"] = PM2_VERSION;
  return found;
}

/** What holds for a part that begins now. */
export function about(
  command: string,
  { versions, quick, runs }: {
    readonly versions: Readonly<Record<string, string>>;
    readonly quick: boolean;
    readonly runs: number;
  },
): About {
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  return {
    command,
    date: new Date().toISOString(),
    machine: `${process.platform} ${release()}, ${process.arch}, ${cpus().length} cores ` +
      `(${cpus()[0]?.model.trim() ?? "unknown"}), ${gibibytes} GiB; the client runs on it, too`,
    loadAverage: Math.round((loadavg()[0] ?? NaN) * 100) / 100,
    client: `bench/load on Node ${process.versions.node}`,
    versions,
    quick,
    wantedRuns: runs,
  };
}

function outputOf(file: string, arg: string): string {
  const { stdout, stderr } = spawnSync(file, [arg], { encoding: "utf8" });
  return `${stdout ?? ""}${stderr ?? ""}`;
}
