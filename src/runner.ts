/**
 * What this process tells `changeover run`, when it was started under it: that it owns the service now.
 *
 * The runner has to know which of its descendants is the newest generation, and only the generations know. It names a
 * file in a folder of its own by an environment variable; the owner writes its number into it at the moment in which it
 * takes the PID file, and removes it when it is stopped. So a file that names a dead process tells of a crash. The
 * variable is taken out of the environment, so that only successors get it, and no service that is started from here.
 *
 * @module
 */

import type { Backend } from "./backend/backend.ts";
import { removePidFile, writePidFile } from "./pid_file.ts";

/** Names the file. */
export const RUNNER_VARIABLE = "CHANGEOVER_RUN";

/** The runner's file. */
export class Runner {
  readonly #file: string | undefined;
  readonly #backend: Backend;

  /** Reads the variable and removes it. */
  constructor(backend: Backend) {
    this.#backend = backend;
    this.#file = backend.env[RUNNER_VARIABLE];
    if (this.#file !== undefined) delete backend.env[RUNNER_VARIABLE];
  }

  /** What the successor is to find in its environment. */
  get variables(): Readonly<Record<string, string>> {
    return this.#file === undefined ? {} : { [RUNNER_VARIABLE]: this.#file };
  }

  /** Tells that this process is the owner. */
  take(): void {
    this.#try((file) => writePidFile(file, this.#backend.pid));
  }

  /** Tells that the service has been stopped. */
  leave(): void {
    this.#try((file) => removePidFile(file, this.#backend.pid));
  }

  #try(action: (file: string) => void): void {
    const file = this.#file;
    // Deno would ask whoever sits at the terminal.
    if (file === undefined || this.#backend.mayWrite?.(file) === false) return;
    try {
      action(file);
    } catch {
      // The runner is gone, or this process may not write there: it finds the newest generation without.
    }
  }
}
