/**
 * `changeover upgrade` where there is no control socket: a signal, and then only what can be seen from outside.
 *
 * @module
 */

import type { Arguments } from "./arguments.ts";
import { type Context, line } from "./context.ts";
import { spellDuration } from "./duration.ts";
import { CommandError, FAILED, NOTHING_THERE, OK } from "./exit_codes.ts";
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
import { styleOf } from "./text.ts";
import { bounded, pause } from "./waiting.ts";

const LOOK_MS = 50;

/** A child whose parent has died goes on initialising, and writes the PID file when it is ready. */
const ORPHAN_MS = 5_000;

/** What came of it. */
type Outcome =
  | { readonly kind: "upgraded"; readonly pid: number }
  | { readonly kind: "gone" };

/**
 * Sends the signal and watches.
 *
 * @param target The process.
 * @param how What was said on the command line.
 * @param processes The processes of this machine.
 * @returns The exit code.
 * @throws {CommandError} When there is nothing to signal, or the time is over.
 */
export async function upgradeBySignal(
  target: ProcessTarget,
  { args, context, timeoutMs }: {
    readonly args: Arguments;
    readonly context: Context;
    readonly timeoutMs: number;
  },
  processes: Processes = real,
): Promise<number> {
  const signal = signalNamed(args.get("signal") ?? "SIGHUP");
  const old = findProcess(target, processes);
  const progress = new Progress(context, { quiet: args.has("quiet") });
  const remark = (text: string) => {
    if (!args.has("quiet")) line(context.err, `changeover: ${text}`);
  };
  remark(
    target.kind === "pid-file"
      ? "without the control socket a failed upgrade cannot be told from a slow one, nor why it failed"
      : "with --pid an upgrade is seen when the old process has left, and its failure not at all; " +
        "--pid-file sees more, --control everything",
  );
  const still = () =>
    `process ${old.pid} still serves: the upgrade failed (see what it has logged), is not decided yet, ` +
    "or this process stays in front of its server";
  let outcome: Outcome;
  try {
    outcome = await bounded(context, {
      timeoutMs,
      late: () => `timed out after ${spellDuration(timeoutMs)}: ${still()}`,
      interrupted: () => "interrupted: the upgrade goes on",
    }, async (stop) => {
      const before = new Set(processes.children(old.pid));
      signalSafely(old, signal, processes);
      progress.step(`sent ${signal} to process ${old.pid}; waiting for its successor`);
      return target.kind === "pid-file"
        ? await watchFile(target.path, old, processes, stop)
        : await watchProcess(old, before, processes, stop);
    });
  } finally {
    progress.end();
  }
  if (outcome.kind === "gone") throw goneWithout(target, old);
  const { pid } = outcome;
  if (target.kind === "pid") {
    remark(`process ${pid}, which process ${old.pid} started, goes on: taken for its successor`);
  }
  if (processes.look(pid) === "gone") {
    line(context.err, `changeover: process ${pid} took over, and is gone already`);
    return FAILED;
  }
  if (args.has("json")) line(context.out, JSON.stringify({ ok: true, report: { pid } }));
  else {
    const done = styleOf(context.out, context).good("upgraded");
    line(context.out, `${done}: pid ${pid} took over after ${spellDuration(progress.elapsedMs)}`);
  }
  return OK;
}

/** The owner writes the file after it has taken over. */
async function watchFile(
  path: string,
  old: Found,
  processes: Processes,
  stop: AbortSignal,
): Promise<Outcome> {
  let goneSince: number | undefined;
  while (!stop.aborted) {
    // First the process, then the file: one that leaves in between has written it before.
    const there = isThere(old, processes);
    const pid = pidIn(path);
    if (pid !== undefined && pid !== old.pid) return { kind: "upgraded", pid };
    if (!there) {
      goneSince ??= performance.now();
      if (pid === undefined || performance.now() - goneSince > ORPHAN_MS) return { kind: "gone" };
    }
    await pause(LOOK_MS, stop);
  }
  return { kind: "gone" };
}

/** Whoever was started after the signal and is there when the old process is not is its successor. */
async function watchProcess(
  old: Found,
  before: ReadonlySet<number>,
  processes: Processes,
  stop: AbortSignal,
): Promise<Outcome> {
  const started = new Map<number, string | undefined>();
  while (!stop.aborted && isThere(old, processes)) {
    for (const pid of processes.children(old.pid) ?? []) {
      if (!before.has(pid) && !started.has(pid)) started.set(pid, processes.birth(pid));
    }
    await pause(LOOK_MS, stop);
  }
  const left = [...started].filter(([pid, birth]) => isThere({ pid, birth }, processes)).at(-1);
  return left === undefined ? { kind: "gone" } : { kind: "upgraded", pid: left[0] };
}

/** `undefined` when the file is gone: a service removes it when it stops. */
function pidIn(path: string): number | undefined {
  try {
    return readPidFile(path);
  } catch {
    return undefined;
  }
}

function goneWithout(target: ProcessTarget, old: Found): CommandError {
  return new CommandError(
    NOTHING_THERE,
    target.kind === "pid-file"
      ? `process ${old.pid} is gone, and no other has taken over the PID file: the service has stopped or crashed`
      : `process ${old.pid} is gone, and no successor was seen; whether another process serves cannot be known with --pid`,
  );
}
