/**
 * What the owner of the service has in the file system: its PID file and the paths of its Unix sockets.
 *
 * The paths are bound by the first generation and stay as they are through every upgrade; only the last owner removes
 * them, and only when they still are the ones it serves (same device and inode).
 *
 * @module
 */

import { lstatSync, unlinkSync } from "node:fs";
import { removePidFile, writePidFile } from "./pid_file.ts";

/** A path and the file it stood for when this process began to serve it. */
interface OwnedPath {
  readonly path: string;
  readonly file: string | undefined;
}

function fileAt(path: string): string | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false, bigint: true });
  return stats?.isSocket() ? `${stats.dev}:${stats.ino}` : undefined;
}

/** PID file and Unix paths of this process. */
export class Names {
  readonly #pidFile: string | undefined;
  readonly #pid: number;
  readonly #paths: OwnedPath[] = [];

  constructor(pidFile: string | undefined, pid: number) {
    this.#pidFile = pidFile;
    this.#pid = pid;
  }

  /** Remembers the path of a Unix socket that this process serves from now on. */
  addPath(path: string): void {
    this.#paths.push({ path, file: fileAt(path) });
  }

  /** Writes the PID file. @throws {Error} when that cannot be done. */
  take(): void {
    if (this.#pidFile !== undefined) writePidFile(this.#pidFile, this.#pid);
  }

  /** Takes the number out of the PID file again: this process could not become the owner. */
  untake(): void {
    if (this.#pidFile !== undefined) removePidFile(this.#pidFile, this.#pid);
  }

  /** Removes the Unix paths that a successor did not take over. */
  removePaths(stillServed: (path: string) => boolean): void {
    for (const { path, file } of this.#paths) {
      if (file !== undefined && !stillServed(path) && fileAt(path) === file) removeFile(path);
    }
  }

  /** Removes everything: nobody serves it any more. */
  remove(): void {
    this.untake();
    this.removePaths(() => false);
  }
}

/** Removes the path of a socket that nobody serves any more; a path that cannot be removed is left. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Gone already, or its folder is not ours: either way nothing listens there.
  }
}
