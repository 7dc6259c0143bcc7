/**
 * The drain of a process that may go on serving: before a sequential upgrade the connections are let go as in any drain,
 * and what has not finished in time is kept, because nobody knows yet whether this process is replaced.
 *
 * @module
 */

import type { Clock, Disposer } from "../backend/backend.ts";
import { type DrainPlan, type DrainReport, type NamedDrainable, runDrain } from "./drain.ts";

/** A clock whose timers can be ended all at once. */
class EndingClock implements Clock {
  readonly #clock: Clock;
  readonly #timers = new Set<Disposer>();
  #isOver = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  after(ms: number, callback: () => void): Disposer {
    if (this.#isOver) return () => {};
    const cancel = this.#clock.after(ms, () => {
      this.#timers.delete(dispose);
      callback();
    });
    const dispose = () => {
      this.#timers.delete(dispose);
      cancel();
    };
    this.#timers.add(dispose);
    return dispose;
  }

  end(): void {
    this.#isOver = true;
    for (const dispose of [...this.#timers]) dispose();
  }
}

/** A pause that has begun. */
export interface RunningPause {
  /** Resolves when no connection is left, or when the time is over. */
  readonly quiet: Promise<DrainReport>;
  /** What has become of the connections until now. */
  progress(): DrainReport;
  /** Does not wait any longer; what is left is kept until a drain begins or the process goes on. */
  end(): void;
}

/**
 * Lets the connections of a process finish without cutting any.
 *
 * @param servers What is to be drained.
 * @param plan As for a drain; at `timeoutMs` what is left is kept.
 * @param clock Time.
 * @param settled Until then a connection may turn up that was accepted before the pause.
 */
export function runPause(
  servers: readonly NamedDrainable[],
  plan: DrainPlan,
  clock: Clock,
  settled: Promise<void>,
): RunningPause {
  const timers = new EndingClock(clock);
  let over!: (report: DrainReport) => void;
  const quiet = new Promise<DrainReport>((resolve) => over = resolve);
  const drain = runDrain(
    servers,
    { ...plan, keeps: () => over(drain.progress()) },
    timers,
    settled,
  );
  drain.report.then(over);
  return {
    quiet,
    progress: () => drain.progress(),
    end() {
      timers.end();
      for (const { drainable } of servers) {
        drainable.onChange(() => {});
        drainable.resume(clock);
      }
      over(drain.progress());
    },
  };
}
