/**
 * Starting the next generation: why that fails, and how `node:child_process` does it on Node and Deno.
 *
 * @module
 */

import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import type { SpawnedProcess, SpawnRequest } from "./backend.ts";
import { socketChannel } from "./channel.ts";
import { spawnRefused } from "./spawn_refused.ts";

/**
 * Starts a process with `node:child_process`.
 *
 * @param request What to start.
 * @param kill Sends a signal. Not `child.kill()`: on Deno its second call does nothing, and SIGKILL is always the second.
 * @throws {UpgradeError} `ERR_SPAWN`
 */
export function spawnByNode(
  request: SpawnRequest,
  kill: (pid: number, signal: string) => unknown,
): Promise<SpawnedProcess> {
  const [file = "", ...args] = request.command;
  return new Promise((resolve, reject) => {
    let child: ReturnType<typeof spawn>;
    try {
      child = spawn(file, args, {
        cwd: request.cwd,
        env: request.env,
        stdio: ["inherit", "inherit", "inherit", "pipe", ...request.fds],
      });
    } catch (error) {
      reject(spawnRefused(request, error));
      return;
    }
    // A process that could not be started has no pid, and tells why in a later tick.
    child.once("error", (error) => reject(spawnRefused(request, error)));
    const { pid } = child;
    if (pid === undefined) return;
    resolve({
      pid,
      channel: socketChannel(child.stdio[3] as Socket, () => {}),
      kill: (signal) => void kill(pid, signal),
      onExit(receiver) {
        if (child.exitCode !== null || child.signalCode !== null) {
          queueMicrotask(() => receiver({ code: child.exitCode, signal: child.signalCode }));
        } else child.once("exit", (code, signal) => receiver({ code, signal }));
      },
      keepAlive(on) {
        if (on) child.ref();
        else child.unref();
      },
    });
  });
}
