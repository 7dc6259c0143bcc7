/**
 * `changeover status --watch`: follows a service from generation to generation.
 *
 * @module
 */

import { type Context, line } from "./context.ts";
import { AnswerLost, type Control } from "./control.ts";
import { spellDuration } from "./duration.ts";
import { CommandError, NOTHING_THERE, OK } from "./exit_codes.ts";
import { eventLine, statusLine } from "./status_text.ts";
import { printable, styleOf } from "./text.ts";
import { bounded, pause } from "./waiting.ts";

/** From the end of one stream to the next question; doubled while nobody has anything to say. */
const RETRY_MS = 50;
const RETRY_AT_MOST_MS = 1_000;

/**
 * Tells what happens until the service has stopped or somebody presses Ctrl-C.
 *
 * @param control The socket, whoever owns it.
 * @param options `json`: an object per line. `timeoutMs`: how long nobody need answer until the service counts as gone.
 * @returns The exit code: 0 when the service has said that it stops.
 * @throws {CommandError} `NOTHING_THERE` when it is gone without a word, or was never there.
 */
export async function watch(
  control: Control,
  { context, json, timeoutMs }: {
    readonly context: Context;
    readonly json: boolean;
    readonly timeoutMs: number;
  },
): Promise<number> {
  const tell = teller(context, json);
  return await bounded(context, { timeoutMs: undefined, late: () => "" }, async (signal) => {
    let heard = false;
    let stops = false;
    let last = performance.now();
    let retryMs = RETRY_MS;
    for (;;) {
      try {
        await follow(control, timeoutMs, signal, (event, data) => {
          heard = true;
          retryMs = RETRY_MS;
          // Whoever speaks after that is another service.
          if (event === "stopping") stops = true;
          if (event === "status") stops = data?.state === "stopping";
          tell(event, data);
        });
        last = performance.now();
      } catch (error) {
        if (signal.aborted) throw error;
        const away = error instanceof CommandError || error instanceof AnswerLost;
        if (!away) throw error;
        // Between two owners there may be nobody for a moment; before the first answer there is no such moment.
        if (stops) return OK;
        if (!heard || performance.now() - last > timeoutMs) throw lost(error, heard, timeoutMs);
      }
      await pause(retryMs, signal);
      retryMs = Math.min(retryMs * 2, RETRY_AT_MOST_MS);
    }
  });
}

/** One stream, of which the first event must come in time. */
async function follow(
  control: Control,
  timeoutMs: number,
  signal: AbortSignal,
  tell: (event: string, data: Data) => void,
): Promise<void> {
  const silent = new AbortController();
  const abort = () => silent.abort(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  const timer = setTimeout(
    () => silent.abort(new AnswerLost(`no answer within ${spellDuration(timeoutMs)}`)),
    timeoutMs,
  );
  try {
    await control.follow(({ event, data }) => {
      clearTimeout(timer);
      tell(event, data);
    }, silent.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

// deno-lint-ignore no-explicit-any -- see ControlEvent
type Data = any;

function teller(context: Context, json: boolean): (event: string, data: Data) => void {
  if (json) return (event, data) => line(context.out, JSON.stringify({ event, ...data }));
  const style = styleOf(context.out, context);
  return (event, data) => {
    const time = new Date().toTimeString().slice(0, 8);
    const what = event === "status" && typeof data?.generation === "number"
      ? statusLine(data, style)
      : eventLine(event, data, style);
    line(context.out, `${style.dim(time)}  ${what}`);
  };
}

function lost(error: Error, heard: boolean, timeoutMs: number): CommandError {
  if (!heard) {
    return error instanceof CommandError
      ? error
      : new CommandError(NOTHING_THERE, `nothing to talk to: ${error.message}`);
  }
  return new CommandError(
    NOTHING_THERE,
    `the service is gone since ${spellDuration(timeoutMs)}, without saying that it stops: ${
      printable(error.message)
    }`,
  );
}
