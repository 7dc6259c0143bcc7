/**
 * Records who answers when.
 *
 * @module
 */

import type { Timeline } from "./protocol.ts";

/** Counts answers in slices of time. */
export class TimelineRecorder {
  readonly #sliceMs: number;
  readonly #beginsAt: number;
  readonly #answers: Map<string, number[]> = new Map();
  readonly #firstAt: Map<string, number> = new Map();
  #slices = 0;

  constructor(sliceMs: number, beginsAt: number) {
    this.#sliceMs = sliceMs;
    this.#beginsAt = beginsAt;
  }

  /** One answer. */
  record(identity: string, at: number): void {
    let slices = this.#answers.get(identity);
    if (slices === undefined) {
      this.#answers.set(identity, slices = []);
      this.#firstAt.set(identity, at);
    }
    const index = Math.max(0, Math.floor((at - this.#beginsAt) / this.#sliceMs));
    while (slices.length <= index) slices.push(0);
    slices[index]!++;
    if (index >= this.#slices) this.#slices = index + 1;
  }

  /** All slices so far; the lists are of the same length. */
  report(): Timeline {
    return {
      beginsAt: this.#beginsAt,
      sliceMs: this.#sliceMs,
      answers: Object.fromEntries(
        [...this.#answers].map(([identity, slices]) => [
          identity,
          Array.from({ length: this.#slices }, (_, index) => slices[index] ?? 0),
        ]),
      ),
      firstAt: Object.fromEntries(this.#firstAt),
    };
  }
}
