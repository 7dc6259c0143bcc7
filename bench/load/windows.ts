/**
 * Named stretches of time, so that "the second around a flip" can be told from the rest.
 *
 * @module
 */

import { Histogram, type Latency } from "./histogram.ts";
import type { Outcome } from "./outcome.ts";

/** What happened in all windows of one label. A request that overlaps several labels is in each of them. */
export interface WindowReport {
  readonly label: string;
  /** How often it was marked. */
  readonly marks: number;
  readonly durationMs: number;
  readonly requests: number;
  readonly answered: number;
  readonly lost: number;
  readonly latency: Latency;
}

interface Window {
  readonly label: string;
  readonly histogram: Histogram;
  marks: number;
  durationMs: number;
  requests: number;
  lost: number;
}

/** The windows of a load, one after the other; those of the same label are added up. */
export class Windows {
  readonly #byLabel: Map<string, Window> = new Map();
  readonly #sequence: Window[] = [];
  #sinceMs: number;
  #overlaps = 0;

  /** @param label The first window's label. */
  constructor(label: string, nowMs: number) {
    this.#sinceMs = nowMs;
    this.mark(label, nowMs);
  }

  /** To be kept by a request that begins now. */
  get current(): number {
    return this.#sequence.length - 1;
  }

  /** How often a request was recorded in one more window than the first. */
  get overlaps(): number {
    return this.#overlaps;
  }

  /** Ends the current window and begins another. */
  mark(label: string, nowMs: number): void {
    this.#close(nowMs);
    let window = this.#byLabel.get(label);
    if (window === undefined) {
      window = { label, histogram: new Histogram(), marks: 0, durationMs: 0, requests: 0, lost: 0 };
      this.#byLabel.set(label, window);
    }
    window.marks++;
    this.#sequence.push(window);
  }

  /**
   * Records a request.
   *
   * @param begun What {@linkcode current} was when it began.
   * @param latencyMs Only used when it was answered.
   * @param last What it was when the request ended.
   */
  record(begun: number, outcome: Outcome, latencyMs: number, last: number = this.current): void {
    if (begun === last) return add(this.#sequence[last]!, outcome, latencyMs);
    const touched = new Set(this.#sequence.slice(begun, last + 1));
    this.#overlaps += touched.size - 1;
    for (const window of touched) add(window, outcome, latencyMs);
  }

  /** One entry per label, in the order of their first marks. */
  report(nowMs: number): WindowReport[] {
    this.#close(nowMs);
    return [...this.#byLabel.values()].map(({ histogram, ...window }) => ({
      label: window.label,
      marks: window.marks,
      durationMs: Math.round(window.durationMs),
      requests: window.requests,
      answered: histogram.count,
      lost: window.lost,
      latency: histogram.summary(),
    }));
  }

  #close(nowMs: number): void {
    const last = this.#sequence.at(-1);
    if (last !== undefined) last.durationMs += nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
  }
}

function add(window: Window, outcome: Outcome, latencyMs: number): void {
  window.requests++;
  if (outcome === "answered") window.histogram.add(latencyMs);
  else window.lost++;
}
