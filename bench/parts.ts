/**
 * The parts of the benchmark.
 *
 * @module
 */

import type { Part } from "./parts/part.ts";

/** A part, loaded when it runs. */
export interface PartEntry {
  readonly name: string;
  readonly what: string;
  /** No run begins later than this after the part's begin; one under way ends. */
  readonly softSeconds: number;
  readonly load: () => Promise<Part>;
}

/** How long a run that is under way at the end of a part's time may go on before the part is ended. */
export const GRACE_SECONDS = 45;

/** In the order in which they run. The times add up to a little more than 24 minutes. */
export const PARTS: readonly PartEntry[] = [
  {
    name: "flip",
    what: "who answers while one process replaces another",
    softSeconds: 75,
    load: async () => (await import("./parts/flip.ts")).flip,
  },
  {
    name: "peers",
    what: "lost requests, latency, memory and CPU time against what people use instead",
    softSeconds: 780,
    load: async () => (await import("./parts/peers.ts")).peers,
  },
  {
    name: "start",
    what: "import, adoption, upgrade time and cold start, step by step",
    softSeconds: 90,
    load: async () => (await import("./parts/start.ts")).start,
  },
  {
    name: "sockets",
    what: "hand-over of 1 to 1,000 sockets",
    softSeconds: 100,
    load: async () => (await import("./parts/sockets.ts")).sockets,
  },
  {
    name: "throughput",
    what: "adopted servers against the same bound natively",
    softSeconds: 240,
    load: async () => (await import("./parts/throughput.ts")).throughput,
  },
  {
    name: "idle",
    what: "drain of 10,000 idle connections",
    softSeconds: 130,
    load: async () => (await import("./parts/idle.ts")).idle,
  },
  {
    name: "state",
    what: "hand-over of application state",
    softSeconds: 40,
    load: async () => (await import("./parts/state.ts")).state,
  },
];
