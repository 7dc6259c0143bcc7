/**
 * `changeover stop`: asks, and waits until the process is gone.
 *
 * @module
 */

import type { UpgraderStatus } from "../report.ts";
import type { Execute } from "./command.ts";
import { type Context, line } from "./context.ts";
import { AnswerLost, Control } from "./control.ts";
import { durationOf, spellDuration } from "./duration.ts";
import { CommandError, FAILED, NOTHING_THERE, OK, UsageError } from "./exit_codes.ts";
import {
  findProcess,
  type Found,
  isThere,
  type ProcessTarget,
  readPidFile,
  signalNamed,
  signalSafely,
} from "./find_process.ts";
import { type Processes, processes as real } from "./processes.ts";
import { Progress } from "./progress.ts";
import { targetOf } from "./target.ts";
import { printable, styleOf } from "./text.ts";
import { bounded, pause } from "./waiting.ts";

/** More than `drainTimeoutMs`, 30 seconds, so that the process can keep its word. */
const TIMEOUT_MS = 60_000;

const LOOK_MS = 50;

/** See `commands/stop.ts`. */
export const execute: Execute = async (args, context) => {
  const target = targetOf(args);
  const timeoutMs = durationOf(args, "timeout", TIMEOUT_MS);
  const how: Stopping = {
    context,
    timeoutMs,
    json: args.has("json"),
    progress: new Progress(context, { quiet: args.has("quiet") }),
  };
  if (target.kind !== "control") {
    return await stopBySignal(target, signalNamed(args.get("signal") ?? "SIGTERM"), how);
  }
  if (args.has("signal")) {
    throw new UsageError("--signal goes with --pid-file and --pid; a control socket needs none");
  }
  return await stopByControl(new Control(target.path), how);
};

/** What was said on the command line. */
export interface Stopping {
  readonly context: Context;
  readonly timeoutMs: number;
  readonly json: boolean;
  readonly progress: Progress;
}

async function stopByControl(control: Control, how: Stopping): Promise<number> {
  let pid = 0;
  let asked = false;
  const state = () => asked ? finishing(pid) : "the service has not answered; nothing was done";
  try {
    const refused = await bounded(how.context, bounds(how, state), async (signal) => {
      let status: UpgraderStatus;
      try {
        status = await control.status(signal);
        pid = status.pid;
        asked = true;
        const answer = await control.request("stop", signal);
        if (!answer.ok) return answer.error;
      } catch (error) {
        // Gone while it was asked: that is what was wanted, when it was this process.
        if (!(error instanceof AnswerLost)) throw error;
        if (!asked) throw new CommandError(NOTHING_THERE, `nothing to talk to: ${error.message}`);
      }
      how.progress.step(`process ${pid} finishes its connections`);
      await waitUntilGone(pid, control, signal);
      return undefined;
    });
    how.progress.end();
    if (refused === undefined) return tellStopped(pid, how);
    if (how.json) line(how.context.out, JSON.stringify({ ok: false, error: refused }));
    line(how.context.err, `changeover: not stopped: ${printable(refused.message)}`);
    return FAILED;
  } finally {
    how.progress.end();
  }
}

/** In another PID namespace (a container whose socket is shared) the number means nothing here: then the socket tells. */
async function waitUntilGone(pid: number, control: Control, signal: AbortSignal): Promise<void> {
  const found: Found = { pid, birth: real.birth(pid) };
  const visible = pid > 1 && real.look(pid) !== "gone";
  while (!signal.aborted) {
    if (visible && !isThere(found, real)) return;
    if (!visible && !await answers(control, pid, signal)) return;
    await pause(LOOK_MS, signal);
  }
}

/** Whether that process, and not another, still owns the socket. */
async function answers(control: Control, pid: number, signal: AbortSignal): Promise<boolean> {
  try {
    return (await control.status(signal)).pid === pid;
  } catch (error) {
    if (error instanceof CommandError || error instanceof AnswerLost) return false;
    throw error;
  }
}

/**
 * Stops by a signal.
 *
 * @param target The process.
 * @param signal What to send.
 * @param how What was said on the command line.
 * @param processes The processes of this machine.
 * @returns The exit code.
 * @throws {CommandError} When there is nothing to signal, or the time is over.
 */
export async function stopBySignal(
  target: ProcessTarget,
  signal: string,
  how: Stopping,
  processes: Processes = real,
): Promise<number> {
  const found = findProcess(target, processes);
  try {
    await bounded(how.context, bounds(how, () => finishing(found.pid)), async (stop) => {
      signalSafely(found, signal, processes);
      how.progress.step(`sent ${signal} to process ${found.pid}; it finishes its connections`);
      while (!stop.aborted && isThere(found, processes)) await pause(LOOK_MS, stop);
    });
  } finally {
    how.progress.end();
  }
  const successor = target.kind === "pid-file" ? otherIn(target.path, found, processes) : undefined;
  if (successor === undefined) return tellStopped(found.pid, how);
  if (how.json) line(how.context.out, JSON.stringify({ ok: false, pid: successor }));
  line(
    how.context.err,
    `changeover: process ${found.pid} is gone, but process ${successor} has taken over meanwhile and runs`,
  );
  return FAILED;
}

/** Who has the PID file now, when an upgrade was quicker than the signal. */
function otherIn(path: string, old: Found, processes: Processes): number | undefined {
  try {
    const pid = readPidFile(path);
    return pid !== old.pid && processes.look(pid) !== "gone" ? pid : undefined;
  } catch {
    return undefined; // a service that stops removes it
  }
}

function tellStopped(pid: number, { context, json, progress }: Stopping): number {
  if (json) line(context.out, JSON.stringify({ ok: true, pid }));
  else {
    const done = styleOf(context.out, context).good("stopped");
    line(context.out, `${done}: process ${pid} is gone after ${spellDuration(progress.elapsedMs)}`);
  }
  return OK;
}

function bounds({ timeoutMs }: Stopping, state: () => string) {
  return {
    timeoutMs,
    late: () => `timed out after ${spellDuration(timeoutMs)}: ${state()}`,
    interrupted: () => `interrupted: ${state()}`,
  };
}

function finishing(pid: number): string {
  return `process ${pid} goes on finishing its connections`;
}
