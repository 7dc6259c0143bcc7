/**
 * Pings for a service manager that watches, `sd_watchdog_enabled(3)`: from the event loop of the owner, so that a loop
 * that is stuck is noticed.
 *
 * @module
 */

import type { Backend, Disposer } from "../backend/backend.ts";

/** How often the owner says that it lives. */
export class Watchdog {
  readonly #clock: Backend["clock"];
  readonly #ping: () => void;
  readonly #everyMs: number | undefined;
  #next: Disposer | undefined;

  /** Reads the variables; the one that names a process is made to name this one. */
  constructor(backend: Backend, ping: () => void, warn: (message: string) => void) {
    this.#clock = backend.clock;
    this.#ping = ping;
    const { WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = backend.env;
    if (usec === undefined) return;
    if (pid !== undefined && pid !== String(backend.pid)) return;
    const value = /^[0-9]{1,15}$/.test(usec) ? Number(usec) : NaN;
    if (!(value > 0)) {
      warn(
        `WATCHDOG_USEC is ${
          JSON.stringify(usec)
        }, which is no number of microseconds; it is ignored`,
      );
      return;
    }
    // For other programs that are started from here: it is not theirs.
    backend.env["WATCHDOG_PID"] = String(backend.pid);
    // Half of the time, as sd_watchdog_enabled(3) recommends.
    this.#everyMs = value / 2_000;
  }

  /** Begins. */
  start(): void {
    if (this.#everyMs === undefined || this.#next !== undefined) return;
    this.#ping();
    const again = () => {
      this.#ping();
      this.#next = this.#clock.after(this.#everyMs!, again);
    };
    this.#next = this.#clock.after(this.#everyMs, again);
  }

  /** Ends. */
  stop(): void {
    this.#next?.();
    this.#next = undefined;
  }
}
