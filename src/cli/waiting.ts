/**
 * Every wait of a command is bounded: by `--timeout`, and by whoever presses Ctrl-C.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { CommandError, INTERRUPTED, TIMED_OUT } from "./exit_codes.ts";

/** What {@linkcode bounded} needs to know. */
export interface Bounds {
  /** How long at most; `undefined` only for what a person ends. */
  readonly timeoutMs: number | undefined;
  /** What is said when the time is over. */
  readonly late: () => string;
  /** What is said on Ctrl-C; nothing where there is nothing to be said. */
  readonly interrupted?: () => string;
}

/**
 * Runs something that waits.
 *
 * @param context Where its signals come from.
 * @param bounds When it ends at the latest.
 * @param wait Gets a signal that is aborted then, and is not waited for any longer.
 * @returns What it returned.
 * @throws {CommandError} `TIMED_OUT`, or 128 and the number of the signal.
 */
export async function bounded<T>(
  context: Context,
  bounds: Bounds,
  wait: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  const dispose: (() => void)[] = [];
  try {
    const over = new Promise<never>((_resolve, reject) => {
      const end = (error: CommandError) => {
        reject(error);
        abort.abort(error);
      };
      if (bounds.timeoutMs !== undefined) {
        const late = () => end(new CommandError(TIMED_OUT, bounds.late()));
        const timer = setTimeout(late, bounds.timeoutMs);
        dispose.push(() => clearTimeout(timer));
      }
      // Not SIGHUP: a handler would undo what nohup(1) does.
      for (const [name, code] of Object.entries(INTERRUPTED)) {
        const interrupt = () => end(new CommandError(code, bounds.interrupted?.() ?? ""));
        dispose.push(context.onSignal(name, interrupt));
      }
    });
    const done = wait(abort.signal);
    done.catch(() => {}); // when the time is over first, nobody hears what becomes of it
    return await Promise.race([done, over]);
  } finally {
    for (const undo of dispose) undo();
    abort.abort();
  }
}

/** Waits a while; ends early, without an error, when `signal` is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
