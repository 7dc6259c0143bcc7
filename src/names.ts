/**
 * What the owner of the service has in the file system: its PID file, its control socket and the paths of its Unix
 * sockets.
 *
 * The paths are bound by the first generation and stay as they are through every upgrade; only the last owner removes
 * them, and only when they still are the ones it serves (same device and inode).
 *
 * @module
 */

import { lstatSync, unlinkSync } from "node:fs";
import type { ControlSocket } from "./control/control.ts";
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

  readonly #control: Pick<ControlSocket, "take"> | undefined;

  constructor(
    pidFile: string | undefined,
    pid: number,
    control?: Pick<ControlSocket, "take">,
  ) {
    this.#pidFile = pidFile;
    this.#pid = pid;
    this.#control = control;
  }

  /** Remembers the path of a Unix socket that this process serves from now on. */
  addPath(path: string): void {
    this.#paths.push({ path, file: fileAt(path) });
  }

  /**
   * Writes the PID file and puts the control socket at its path.
   *
   * @param alone Whether nobody had them before; a parent takes back by itself what was taken from it.
   * @throws {Error} when that cannot be done.
   */
  take(alone: boolean): void {
    this.#writePid();
    try {
      this.#control?.take();
    } catch (error) {
      if (alone) this.#removePid();
      throw error;
    }
  }

  /** The same, each as far as it can be done. */
  takeEach(failed: (error: Error) => void): void {
    for (const take of [() => this.#writePid(), () => this.#control?.take()]) {
      try {
        take();
      } catch (error) {
        failed(error as Error);
      }
    }
  }

  /** Removes the Unix paths that a successor did not take over. */
  removePaths(stillServed: (path: string) => boolean): void {
    for (const { path, file } of this.#paths) {
      if (file !== undefined && !stillServed(path) && fileAt(path) === file) removeSocket(path);
    }
  }

  /**
   * Removes everything: nobody serves it any more.
   *
   * @param child A child that may have taken the PID file, and was called off.
   */
  remove(child?: number): void {
    this.#removePid();
    if (child !== undefined) this.#removePid(child);
    this.removePaths(() => false);
  }

  #writePid(): void {
    if (this.#pidFile !== undefined) writePidFile(this.#pidFile, this.#pid);
  }

  #removePid(pid: number = this.#pid): void {
    if (this.#pidFile !== undefined) removePidFile(this.#pidFile, pid);
  }
}

/** Removes the path of a socket that nobody serves any more; what cannot be removed, or is no socket, is left. */
export function removeSocket(path: string): void {
  try {
    if (fileAt(path) !== undefined) unlinkSync(path);
  } catch {
    // Gone already, or its folder is not ours: either way nothing listens there.
  }
}
