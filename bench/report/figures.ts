/**
 * What the tables and plots show of the part `peers`, computed from its runs. Pure.
 *
 * @module
 */

import type { Latency } from "../load/histogram.ts";
import { perHundredThousand, type Spread, spread } from "../measure/statistics.ts";
import type { PeerRun, PhaseResult } from "../parts/peers.ts";
import type { PeerRow } from "./results.ts";

/** The populations, in the order of the tables. */
export const POPULATIONS = ["keepAlive", "oneShot", "post", "webSocket", "prober"] as const;

/** One row of the comparison. */
export interface PeerFigures {
  readonly name: string;
  readonly label: string;
  readonly ours: boolean;
  readonly runs: number;
  readonly flips: number;
  /** Of all runs and both phases. */
  readonly sent: number;
  readonly lost: number;
  /** In the saturated phase, each run's losses per flip: requests, the prober's too. */
  readonly lostPerFlip: Spread;
  /** The same of messages on WebSockets; of nothing where the server speaks no WebSocket. */
  readonly messagesPerFlip: Spread;
  /** Requests, in the paced phase. */
  readonly lostPerFlipPaced: Spread;
  /** Per 100,000 of a population, both phases; `undefined` when it was not asked. */
  readonly perPopulation: Readonly<Record<string, number | undefined>>;
  /** Paced: around a flip / steady. */
  readonly p99Ratio: Spread;
  readonly steady: Readonly<Record<keyof Latency, Spread>>;
  readonly flip: Readonly<Record<keyof Latency, Spread>>;
  readonly firstAnswerMs: Spread;
  readonly memoryRatio: Spread;
  readonly memoryPeakMiB: Spread;
  readonly flipCpuMs: Spread;
  readonly consistent: boolean;
}

/** Computes a row. */
export function figuresOf({ name, label, ours, runs }: PeerRow): PeerFigures {
  const phases = runs.flatMap(({ saturated, paced }) => [saturated, paced]);
  const total = (key: "sent" | "lost") =>
    phases.reduce((sum, phase) => sum + totalOf(phase, key), 0);
  return {
    name,
    label,
    ours,
    runs: runs.length,
    flips: phases.reduce((sum, { flips }) => sum + flips, 0),
    sent: total("sent"),
    lost: total("lost"),
    lostPerFlip: spread(runs.map(({ saturated }) => requestsLost(saturated) / saturated.flips)),
    messagesPerFlip: spread(
      runs.map(({ saturated: { populations, flips } }) => {
        const messages = populations["webSocket"];
        return messages === undefined ? undefined : messages.lost / flips;
      }),
    ),
    lostPerFlipPaced: spread(runs.map(({ paced }) => requestsLost(paced) / paced.flips)),
    perPopulation: Object.fromEntries(
      POPULATIONS.map((population) => [population, lostShare(phases, population)]),
    ),
    p99Ratio: spread(runs.map((run) => latency(run, "flip").p99 / latency(run, "steady").p99)),
    steady: latencies(runs, "steady"),
    flip: latencies(runs, "flip"),
    firstAnswerMs: spread(runs.flatMap(({ paced }) => paced.firstAnswerMs)),
    memoryRatio: spread(runs.map(({ memory }) => memory.peakMiB / memory.steadyMiB)),
    memoryPeakMiB: spread(runs.map(({ memory }) => memory.peakMiB)),
    flipCpuMs: spread(runs.map(({ flipCpuMs }) => flipCpuMs)),
    consistent: phases.every(({ consistent }) => consistent),
  };
}

function totalOf({ populations }: PhaseResult, key: "sent" | "lost"): number {
  return Object.values(populations).reduce((sum, counts) => sum + counts[key], 0);
}

function requestsLost(phase: PhaseResult): number {
  return totalOf(phase, "lost") - (phase.populations["webSocket"]?.lost ?? 0);
}

function lostShare(phases: readonly PhaseResult[], population: string): number | undefined {
  const counts = phases.map(({ populations }) => populations[population])
    .filter((each) => each !== undefined);
  if (counts.length === 0) return undefined;
  return perHundredThousand(
    counts.reduce((sum, { lost }) => sum + lost, 0),
    counts.reduce((sum, { sent }) => sum + sent, 0),
  );
}

type Label = "steady" | "flip";

const NONE: Latency = { count: 0, p50: NaN, p99: NaN, p999: NaN, max: NaN };

function latency({ paced }: PeerRun, label: Label): Latency {
  return paced.windows.find((window) => window.label === label)?.latency ?? NONE;
}

function latencies(runs: readonly PeerRun[], label: Label): Record<keyof Latency, Spread> {
  const keys = Object.keys(NONE) as (keyof Latency)[];
  return Object.fromEntries(
    keys.map((key) => [key, spread(runs.map((run) => latency(run, label)[key]))]),
  ) as Record<keyof Latency, Spread>;
}
