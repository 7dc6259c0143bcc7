/**
 * `changeover status`, once; `--watch` see `watch.ts`.
 *
 * @module
 */

import type { UpgraderStatus } from "../report.ts";
import type { Arguments } from "./arguments.ts";
import type { Execute } from "./command.ts";
import { type Context, line } from "./context.ts";
import { AnswerLost, Control } from "./control.ts";
import { durationOf, spellDuration } from "./duration.ts";
import { CommandError, NOTHING_THERE, OK, UsageError } from "./exit_codes.ts";
import { statusText } from "./status_text.ts";
import { type Target, targetOf } from "./target.ts";
import { styleOf } from "./text.ts";
import { bounded } from "./waiting.ts";

const TIMEOUT_MS = 10_000;

/** See `commands/status.ts`. */
export const execute: Execute = async (args, context) => {
  const target = targetOf(args);
  const timeoutMs = durationOf(args, "timeout", TIMEOUT_MS);
  if (target.kind !== "control") {
    if (args.has("watch")) throw new UsageError("--watch needs --control: signals tell nothing");
    return await statusOfProcess(target, args, context);
  }
  const control = new Control(target.path);
  if (args.has("watch")) {
    const { watch } = await import("./watch.ts");
    return await watch(control, { context, json: args.has("json"), timeoutMs });
  }
  let status: UpgraderStatus;
  try {
    status = await bounded(context, {
      timeoutMs,
      late: () => `timed out: the service has not answered within ${spellDuration(timeoutMs)}`,
    }, (signal) => control.status(signal));
  } catch (error) {
    if (!(error instanceof AnswerLost)) throw error;
    throw new CommandError(NOTHING_THERE, `nothing to talk to: ${error.message}`);
  }
  if (args.has("json")) line(context.out, JSON.stringify(status));
  else context.out.write(statusText(status, styleOf(context.out, context)));
  return OK;
};

async function statusOfProcess(
  target: Exclude<Target, { kind: "control" }>,
  args: Arguments,
  context: Context,
): Promise<number> {
  const { findProcess } = await import("./find_process.ts");
  const { processes } = await import("./processes.ts");
  const { pid } = findProcess(target, processes);
  if (args.has("json")) line(context.out, JSON.stringify({ pid, running: true }));
  else line(context.out, `process ${pid} runs; only --control tells more`);
  return OK;
}
