/**
 * Runs small programs of the system.
 *
 * @module
 */

import { spawn } from "node:child_process";
import type { ExitStatus, RunRequest } from "./backend.ts";

/** Such a program does little; this bound only ends what would never end. */
const LIMIT_MS = 10_000;

/** See `run` of `Backend`. */
export function run({ command, env, started }: RunRequest): Promise<ExitStatus> {
  const [file = "", ...args] = command;
  return new Promise((resolve) => {
    let child: ReturnType<typeof spawn>;
    try {
      child = spawn(file, args, { env: { ...env }, stdio: ["pipe", "ignore", "ignore"] });
    } catch {
      resolve({ code: 127, signal: null });
      return;
    }
    const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS) as unknown as {
      unref?: () => void;
    };
    timer.unref?.();
    const settle = (status: ExitStatus) => {
      clearTimeout(timer as unknown as number);
      resolve(status);
    };
    child.once("error", () => settle({ code: 127, signal: null }));
    child.once("exit", (code, signal) => settle({ code, signal }));
    // It keeps this process alive for the moment that it takes: `create` waits for the first one.
    const { stdin, pid } = child;
    // It may end before it has read.
    stdin?.on("error", () => {});
    if (started === undefined || pid === undefined) stdin?.end();
    else {
      started(pid).catch(() => {}).finally(() => stdin?.end("\n"));
    }
  });
}
