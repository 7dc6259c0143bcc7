/**
 * A child on probation: the application's health check is run at intervals.
 *
 * @module
 */

import type { Clock, Disposer } from "./backend/backend.ts";
import type { Frame, TellFrame } from "./protocol.ts";

/** A child on probation, as a health check sees it. */
export interface WatchedChild {
  /** Its process id. */
  readonly pid: number;
  /** Its generation. */
  readonly generation: number;
  /** Its runtime. */
  readonly runtime: string;
  /** Version of the runtime. */
  readonly version: string;
  /** Asks it for its `status()`: it answers when its event loop turns. */
  status(): Promise<Readonly<Record<string, unknown>>>;
}

/** Rejects, or throws, when the child is not to be kept. */
export type HealthCheck = (child: WatchedChild) => unknown;

/** How a child is watched. */
export interface WatchPlan {
  readonly healthCheck: HealthCheck;
  /** From the end of one check to the beginning of the next, in milliseconds. */
  readonly healthIntervalMs: number;
  /** How long one check may take, in milliseconds. */
  readonly healthTimeoutMs: number;
}

/** Runs the health check until it is told to stop. */
export class Watch {
  readonly #clock: Clock;
  readonly #plan: WatchPlan;
  readonly #child: WatchedChild;
  readonly #failed: (why: string) => void;
  readonly #asked = new Map<number, (status: Readonly<Record<string, unknown>>) => void>();
  #lastId = 0;
  #timer: Disposer | undefined;
  #over = false;

  /** @param failed Called once, with the reason. */
  constructor(
    clock: Clock,
    plan: WatchPlan,
    child: Omit<WatchedChild, "status">,
    send: (frame: Frame) => void,
    failed: (why: string) => void,
  ) {
    this.#clock = clock;
    this.#plan = plan;
    this.#failed = failed;
    this.#child = {
      ...child,
      status: () =>
        new Promise((resolve) => {
          const id = ++this.#lastId;
          this.#asked.set(id, resolve);
          send({ type: "ask", id });
        }),
    };
    this.#check();
  }

  /** The child has answered. */
  heard({ id, status }: TellFrame): void {
    this.#asked.get(id)?.(status);
    this.#asked.delete(id);
  }

  /** Nothing is checked any more. */
  stop(): void {
    this.#over = true;
    this.#timer?.();
    this.#asked.clear();
  }

  #check(): void {
    const { healthCheck, healthIntervalMs, healthTimeoutMs } = this.#plan;
    this.#timer = this.#clock.after(
      healthTimeoutMs,
      () => this.#fail(`the health check was not over within ${healthTimeoutMs} ms`),
    );
    new Promise((resolve) => resolve(healthCheck(this.#child))).then(() => {
      if (this.#over) return;
      this.#timer?.();
      this.#timer = this.#clock.after(healthIntervalMs, () => this.#check());
    }, (error) => {
      const why = error instanceof Error ? error.message : String(error);
      this.#fail(`the health check failed: ${why}`);
    });
  }

  #fail(why: string): void {
    if (this.#over) return;
    this.stop();
    this.#failed(why);
  }
}
