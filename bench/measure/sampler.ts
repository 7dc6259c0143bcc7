/**
 * Samples what the processes of a service cost while it runs.
 *
 * @module
 */

import { clearInterval, setInterval } from "node:timers";
import { membersOf, memoryMiB } from "./processes.ts";

const INTERVAL_MS = 50;

/** One look at all processes of a service. */
export interface Sample {
  /** `performance.now()` of this process. */
  readonly atMs: number;
  /** CPU time of all processes so far, those that have ended included. */
  readonly cpuMs: number;
  readonly memoryMiB: number;
  readonly processes: number;
}

/** Looks at a service every 50 ms: CPU time of a process that ends is known up to its last look. */
export class Sampler {
  readonly #sessions: ReadonlySet<number>;
  readonly #cpuMs: Map<number, number> = new Map();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly samples: Sample[] = [];

  constructor(sessions: ReadonlySet<number>) {
    this.#sessions = sessions;
    this.#timer = setInterval(() => this.look(), INTERVAL_MS);
    this.look();
  }

  /** Looks now. */
  look(): Sample {
    const members = membersOf(this.#sessions);
    for (const { pid, cpuMs } of members) this.#cpuMs.set(pid, cpuMs);
    const sample: Sample = {
      atMs: performance.now(),
      cpuMs: [...this.#cpuMs.values()].reduce((sum, each) => sum + each, 0),
      memoryMiB: members.reduce((sum, { pid }) => sum + memoryMiB(pid), 0),
      processes: members.length,
    };
    this.samples.push(sample);
    return sample;
  }

  /** Ends sampling. */
  stop(): void {
    clearInterval(this.#timer);
  }
}

/** A stretch of time (`performance.now()`). */
export type Stretch = readonly [fromMs: number, toMs: number];

/** CPU time that was used in a stretch. */
export function cpuIn(samples: readonly Sample[], [from, to]: Stretch): number {
  return cpuAt(samples, to) - cpuAt(samples, from);
}

/** The most memory in a stretch. */
export function memoryPeak(samples: readonly Sample[], [from, to]: Stretch): number {
  return samples.filter(({ atMs }) => atMs >= from && atMs <= to)
    .reduce((most, { memoryMiB }) => Math.max(most, memoryMiB), 0);
}

function cpuAt(samples: readonly Sample[], atMs: number): number {
  const after = samples.findIndex((sample) => sample.atMs >= atMs);
  if (after === -1) return samples.at(-1)?.cpuMs ?? 0;
  if (after === 0) return samples[0]!.cpuMs;
  const [left, right] = [samples[after - 1]!, samples[after]!];
  const share = (atMs - left.atMs) / (right.atMs - left.atMs);
  return left.cpuMs + (right.cpuMs - left.cpuMs) * share;
}
