/**
 * What the application finishes by itself: streams of events, queues, protocols of its own.
 *
 * @module
 */

import type { Clock } from "../backend/backend.ts";
import type { Drainable, DrainPlan } from "./drain.ts";

/** What the application is told when the drain begins. */
export interface DrainContext {
  /** Aborted at the deadline: whatever is not finished then is given up. */
  readonly signal: AbortSignal;
  /** How long the drain may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Over how many milliseconds clients should be told to reconnect. */
  readonly spreadMs: number;
}

/** Finishes work of the application; the drain waits until what it returns is settled. */
export type FinishWork = (context: DrainContext) => unknown;

/** Options of `drainWith`. */
export interface WorkOptions {
  /** How many connections, streams or jobs are open; for `status()` and the report. */
  readonly connections?: () => number;
}

class ApplicationDrain implements Drainable {
  readonly kind = "application";
  readonly #abort = new AbortController();
  readonly #name: string;
  readonly #finish: FinishWork;
  readonly #count: () => number;
  readonly #warn: (message: string) => void;
  #state: "open" | "finishing" | "over" = "open";
  #isRunning = false;
  #changed: (() => void) | undefined;

  constructor(
    name: string,
    finish: FinishWork,
    { connections = () => 0 }: WorkOptions,
    warn: (message: string) => void,
  ) {
    this.#name = name;
    this.#finish = finish;
    this.#count = connections;
    this.#warn = warn;
  }

  connections(): number {
    if (this.#state === "over") return 0;
    let count = 0;
    try {
      count = Number(this.#count()) || 0;
    } catch {
      // What cannot be counted is still waited for.
    }
    // The drain lasts until the work is done, also when nothing is left to count.
    return this.#state === "finishing" ? Math.max(1, count) : count;
  }

  begin({ timeoutMs, spreadMs }: DrainPlan, _clock: Clock): void {
    if (this.#state === "open") this.#state = "finishing";
    // What was begun in a pause that came to nothing, or that ended with it, is still under way or done.
    if (this.#isRunning || this.#state === "over") return;
    this.#isRunning = true;
    const context = { signal: this.#abort.signal, timeoutMs, spreadMs };
    new Promise((resolve) => resolve(this.#finish(context))).catch((error) => {
      // To stop at the deadline is what the signal asks for.
      if (this.#abort.signal.aborted) return;
      const why = error instanceof Error ? error.message : String(error);
      this.#warn(`"${this.#name}" could not finish: ${why}`);
    }).then(() => {
      this.#isRunning = false;
      if (this.#state !== "finishing") return;
      this.#state = "over";
      this.#changed?.();
    });
  }

  resume(): void {
    this.#state = "open";
  }

  onChange(receiver: () => void): void {
    this.#changed = receiver;
  }

  cut(): number {
    const left = this.connections();
    this.#state = "over";
    this.#abort.abort(new Error("Cannot finish: the time of the drain is over"));
    return left;
  }

  counts(): {
    readonly served: number;
    readonly closedIdle: number;
    readonly closedPolitely: number;
  } {
    return { served: 0, closedIdle: 0, closedPolitely: 0 };
  }
}

/** Runs the application's own part of a drain. */
export function watchApplication(
  name: string,
  finish: FinishWork,
  options: WorkOptions,
  warn: (message: string) => void,
): Drainable {
  if (typeof name !== "string" || name === "") {
    throw new TypeError(`Cannot drain with ${String(name)}: expected a name`);
  }
  if (typeof finish !== "function") {
    throw new TypeError(`Cannot drain "${name}": expected a function that finishes it`);
  }
  if (options.connections !== undefined && typeof options.connections !== "function") {
    throw new TypeError(`Cannot drain "${name}": connections is not a function that counts`);
  }
  return new ApplicationDrain(name, finish, options, warn);
}
