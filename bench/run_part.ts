/**
 * Runs a script of the benchmark in a process of its own, with a time limit, and cleans up after it.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { cleanUpAfter } from "./measure/cleanup.ts";

/** A part that is told to end needs some time to end its servers. */
const KILL_AFTER_MS = 10_000;

/** How it went. */
export interface Ended {
  readonly ok: boolean;
  /** Why not. */
  readonly why: string;
  /** This process was told to stop: nothing else is to be begun. */
  readonly interrupted: boolean;
}

/** Runs `node SCRIPT ARGS --notes FILE`, its output going where ours goes. */
export async function runPart(
  script: string,
  args: readonly string[],
  limitMs: number,
): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), "changeover-bench-notes-"));
  const notes = join(folder, "owed.jsonl");
  const child = spawn(process.execPath, ["--no-warnings", script, ...args, "--notes", notes], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const timers: ReturnType<typeof setTimeout>[] = [];
  const end = () => {
    child.kill("SIGTERM");
    timers.push(setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS));
  };
  let why = "";
  let interrupted = false;
  timers.push(setTimeout(() => {
    why = `ended after ${limitMs / 1000} s`;
    end();
  }, limitMs));
  const stop = () => {
    interrupted = true;
    end();
  };
  for (const name of SIGNALS) process.on(name, stop);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.once("error", (error) => {
      why = error.message;
      resolve([null, null]);
    });
    child.once("exit", (code, signal) => resolve([code, signal]));
  });
  for (const timer of timers) clearTimeout(timer);
  await cleanUpAfter(notes);
  for (const name of SIGNALS) process.off(name, stop);
  rmSync(folder, { recursive: true, force: true });
  if (code !== 0 && why === "") why = `ended with ${signal ?? code}`;
  return { ok: code === 0, why, interrupted };
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
