/**
 * Where upgrades cannot work, and what to do there instead.
 *
 * @module
 */

import process from "node:process";
import { UpgradeError } from "../errors.ts";

/**
 * Refuses platforms and kinds of processes that cannot be upgraded.
 *
 * @param platform As `process.platform` names it.
 * @throws {UpgradeError} `ERR_UNSUPPORTED`
 */
export async function check(platform: string): Promise<void> {
  const refuse = (why: string): never => {
    throw new UpgradeError("ERR_UNSUPPORTED", `Cannot create an upgrader: ${why}`);
  };
  if (platform !== "linux" && platform !== "darwin") {
    refuse(
      `it works on Linux and macOS, not on ${platform}; use the stub from "changeover/testing" there`,
    );
  }
  if (!await inMainThread()) {
    refuse("this is a worker thread; create it in the main thread, which owns the process");
  }
  // A worker of node:cluster has a channel to its primary; loading the module to be sure takes milliseconds.
  if (process.connected && (await import("node:cluster")).default.isWorker) {
    refuse(
      "this is a worker of node:cluster, whose primary owns the sockets; run one process without node:cluster, or create it in the primary",
    );
  }
}

/** Bun tells it without the module, which takes it 2 ms of CPU time to load. */
async function inMainThread(): Promise<boolean> {
  const { Bun } = globalThis as unknown as { readonly Bun?: { readonly isMainThread: boolean } };
  if (Bun !== undefined) return Bun.isMainThread;
  return (await import("node:worker_threads")).isMainThread;
}
