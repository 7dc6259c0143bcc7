/**
 * Why a process could not be started, in our words.
 *
 * @module
 */

import { fileProbes } from "../command_files.ts";
import { UpgradeError } from "../errors.ts";
import type { SpawnRequest } from "./backend.ts";

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "it may not be executed",
  EMFILE: "too many files are open; raise the limit of open files (RLIMIT_NOFILE)",
  ENFILE: "too many files are open; raise the limit of open files (RLIMIT_NOFILE)",
  ENOENT: "there is no such file",
};

/** The error for a child that could not be started. @param cause What the runtime said. */
export function spawnRefused({ command, cwd, fds }: SpawnRequest, cause: unknown): UpgradeError {
  const { code = "", message } = cause as { code?: string; message: string };
  // A missing folder and a missing program are the same error to the system.
  const folder = fileProbes.problem(cwd, "folder");
  const why = folder !== undefined
    ? `its working directory ${JSON.stringify(cwd)} ${folder}`
    : code === "EBADF"
    ? `one of the descriptors ${fds.join(", ")} is not open`
    : REASONS[code] ?? message;
  return new UpgradeError(
    "ERR_SPAWN",
    `Cannot start ${JSON.stringify(command[0] ?? "")}: ${why}`,
    { cause },
  );
}
