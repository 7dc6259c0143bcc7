/**
 * What is said while a command waits: one line that changes on a terminal, a line for each step elsewhere.
 *
 * @module
 */

import { type Context, line } from "./context.ts";
import { spellDuration } from "./duration.ts";
import { isLive, type Style, styleOf } from "./text.ts";

const FRAMES = ["|", "/", "-", "\\"];
const REDRAW_MS = 100;
const CLEAR = "\r\x1b[K";

/** Steps of something that takes a while, on standard error. */
export class Progress {
  readonly #context: Context;
  readonly #quiet: boolean;
  readonly #live: boolean;
  readonly #style: Style;
  readonly #start = performance.now();
  #step = "";
  #stepStart = 0;
  #frame = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * Nothing is written before the first step.
   *
   * @param context Where to.
   * @param options `quiet`: not at all.
   */
  constructor(context: Context, options: { readonly quiet: boolean }) {
    this.#context = context;
    this.#quiet = options.quiet;
    this.#live = isLive(context.err, context);
    this.#style = styleOf(context.err, context);
  }

  /** Milliseconds since the beginning. */
  get elapsedMs(): number {
    return performance.now() - this.#start;
  }

  /** A step begins; the one before is over. */
  step(text: string): void {
    if (this.#quiet || text === this.#step) return;
    if (!this.#live) {
      line(this.#context.err, `${spellDuration(this.elapsedMs).padStart(8)}  ${text}`);
      return;
    }
    this.#finish();
    this.#step = text;
    this.#stepStart = performance.now();
    this.#draw();
    this.#timer ??= setInterval(() => this.#draw(), REDRAW_MS);
  }

  /** All steps are over; what follows may write. */
  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#finish();
    this.#step = "";
  }

  /** Leaves the running step as a line that stays. */
  #finish(): void {
    if (this.#step === "") return;
    const took = spellDuration(performance.now() - this.#stepStart);
    this.#write(`${CLEAR}  ${this.#fit(this.#step, took)} ${this.#style.dim(took)}\n`);
  }

  #draw(): void {
    const frame = FRAMES[this.#frame++ % FRAMES.length] ?? "";
    const took = spellDuration(performance.now() - this.#stepStart);
    this.#write(`${CLEAR}${frame} ${this.#fit(this.#step, took)} ${this.#style.dim(took)}`);
  }

  /** A line that is wider than the terminal could not be taken back. */
  #fit(text: string, took: string): string {
    return text.slice(0, Math.max(0, this.#context.err.columns - took.length - 5));
  }

  #write(text: string): void {
    this.#context.err.write(text);
  }
}
