/**
 * Time that tests turn by hand.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import type { Clock, Disposer } from "../backend/backend.ts";

/** A clock that stands still until {@linkcode FakeClock.advance} is called. */
export interface FakeClock extends Clock {
  /**
   * Lets time pass. Timers run one by one in the order in which they are due, and everything that follows from one has
   * happened before the next.
   *
   * @param ms How much, in milliseconds.
   * @returns When everybody has reacted.
   */
  advance(ms: number): Promise<void>;
  /** How many timers wait. */
  readonly pending: number;
}

interface Timer {
  readonly due: number;
  readonly order: number;
  readonly callback: () => void;
}

/**
 * Waits until everything that has been set off by now has happened, as far as it needs no time and no I/O.
 *
 * @returns After all microtasks.
 */
export function settle(): Promise<void> {
  return new Promise((resolve) => void setImmediate(() => resolve()));
}

/** The implementation of {@linkcode FakeClock}. */
export class ManualClock implements FakeClock {
  readonly #timers = new Set<Timer>();
  #now = 0;
  #order = 0;

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): Disposer {
    const timer: Timer = { due: this.#now + Math.max(0, ms), order: this.#order++, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  get pending(): number {
    return this.#timers.size;
  }

  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settle();
    for (let timer = this.#next(until); timer !== undefined; timer = this.#next(until)) {
      this.#now = Math.max(this.#now, timer.due);
      this.#timers.delete(timer);
      timer.callback();
      await settle();
    }
    this.#now = until;
  }

  #next(until: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.due > until) continue;
      const earlier = first === undefined || timer.due < first.due ||
        (timer.due === first.due && timer.order < first.order);
      if (earlier) first = timer;
    }
    return first;
  }
}
