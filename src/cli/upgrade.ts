/**
 * `changeover upgrade`, through the control socket; by signals see `upgrade_by_signal.ts`.
 *
 * @module
 */

import type { UpgraderStatus } from "../report.ts";
import type { Arguments } from "./arguments.ts";
import type { Execute } from "./command.ts";
import { type Context, line } from "./context.ts";
import { AnswerLost, Control, type ControlAnswer, type ControlError } from "./control.ts";
import { durationOf, spellDuration } from "./duration.ts";
import { CommandError, FAILED, NOTHING_THERE, OK, UsageError } from "./exit_codes.ts";
import { Progress } from "./progress.ts";
import { spell, type Target, targetOf } from "./target.ts";
import { printable, styleOf } from "./text.ts";
import { bounded, pause } from "./waiting.ts";

/** Longer than the service's own limit, `upgradeTimeoutMs`, so that it is the service that says why. */
const TIMEOUT_MS = 120_000;

/** How long to wait for the stream of events before the upgrade begins without: it is only for looking. */
const EVENTS_MS = 5_000;

/** After the answer was lost: how long nobody need be there until the service counts as gone. */
const AWAY_MS = 3_000;

const RETRY_MS = 50;

/** What a person is told at each event. */
const STEPS: Readonly<Record<string, string>> = {
  "upgrading": "starting the new process",
  "paused": "paused: the connections are finished, new clients wait",
  "released": "the resources are released; starting the new process",
  "spawned": "started; waiting until it is ready",
  "child-ready": "ready; waiting until it may take over",
  "committing": "taking over",
};

/** See `commands/upgrade.ts`. */
export const execute: Execute = async (args, context) => {
  const target = targetOf(args);
  const timeoutMs = durationOf(args, "timeout", TIMEOUT_MS);
  if (target.kind !== "control") {
    const { upgradeBySignal } = await import("./upgrade_by_signal.ts");
    return await upgradeBySignal(target, { args, context, timeoutMs });
  }
  if (args.has("signal")) {
    throw new UsageError("--signal goes with --pid-file and --pid; a control socket needs none");
  }
  return await upgradeByControl(target, { args, context, timeoutMs });
};

async function upgradeByControl(
  target: Target & { readonly kind: "control" },
  { args, context, timeoutMs }: {
    readonly args: Arguments;
    readonly context: Context;
    readonly timeoutMs: number;
  },
): Promise<number> {
  const control = new Control(target.path);
  const progress = new Progress(context, { quiet: args.has("quiet") });
  const look = `look with: changeover status ${spell(target)}`;
  let asked = false;
  const still = () =>
    asked
      ? `the upgrade is not decided yet and goes on; ${look}`
      : `the service has not answered, and was not asked to upgrade; ${look}`;
  let answer: ControlAnswer;
  // Of a failure: who serves now.
  let now: UpgraderStatus | undefined;
  try {
    [answer, now] = await bounded(context, {
      timeoutMs,
      late: () => `timed out after ${spellDuration(timeoutMs)}: ${still()}`,
      interrupted: () => `interrupted: ${still()}`,
    }, async (signal) => {
      const before = await answered(control.status(signal), target);
      await followSteps(control, progress, signal);
      asked = true;
      const answer = await control.request("upgrade", signal).catch((error: Error) => {
        if (!(error instanceof AnswerLost)) throw error;
        progress.step("the connection broke; looking who serves");
        return whoServes(control, before, signal);
      });
      if (answer.ok) return [answer, undefined];
      return [answer, await control.status(signal).catch(() => undefined)];
    });
  } finally {
    progress.end();
  }
  if (args.has("json")) line(context.out, JSON.stringify(answer));
  if (answer.ok) {
    if (!args.has("json")) tellReport(answer, context);
    return OK;
  }
  tellFailure(answer.error, progress, context);
  return tellWhoServes(now, context);
}

/** Shows steps from now on; returns when the stream is there, or will not be. */
function followSteps(control: Control, progress: Progress, signal: AbortSignal): Promise<void> {
  const followed = new AbortController();
  signal.addEventListener("abort", () => followed.abort(), { once: true });
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, EVENTS_MS);
    const go = () => {
      clearTimeout(timer);
      resolve();
    };
    control.follow(({ event }) => {
      go();
      const step = STEPS[event];
      if (step !== undefined) progress.step(step);
    }, followed.signal).catch(() => {}).finally(go); // the answer to the request is what counts
    progress.step("asking the service");
  });
}

/** A status that must come: when the connection breaks, the process ended just now. */
async function answered<T>(answer: Promise<T>, target: Target & { kind: "control" }): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof AnswerLost)) throw error;
    throw new CommandError(
      NOTHING_THERE,
      `nothing to talk to at ${JSON.stringify(target.path)}: ${error.message}`,
    );
  }
}

/** The process that was asked is gone or has lost us; who owns the socket now tells how it ended. */
async function whoServes(
  control: Control,
  before: UpgraderStatus,
  signal: AbortSignal,
): Promise<ControlAnswer> {
  let away = performance.now();
  for (;;) {
    try {
      const now = await control.status(signal);
      away = performance.now();
      if (now.generation > before.generation) {
        const { generation, pid, runtime, version } = now;
        return { ok: true, report: { generation, pid, runtime, version } as never };
      }
      if (now.pid !== before.pid || now.state === "serving") {
        const message = "the connection broke before the answer, and no new generation serves";
        return { ok: false, error: { message } };
      }
    } catch (error) {
      const gone = error instanceof CommandError || error instanceof AnswerLost;
      if (!gone || signal.aborted || performance.now() - away > AWAY_MS) throw error;
    }
    await pause(RETRY_MS, signal);
  }
}

function tellReport(answer: ControlAnswer & { ok: true }, context: Context): void {
  const style = styleOf(context.out, context);
  const { generation, pid, runtime, version = "", durationMs } = answer.report ?? {};
  const what = runtime === undefined ? "" : `, ${runtime} ${version}`.trimEnd();
  const who = generation === undefined
    ? ""
    : `: generation ${generation} (pid ${pid}${what}) took over`;
  const took = durationMs === undefined ? "" : ` after ${spellDuration(durationMs)}`;
  line(context.out, style.good("upgraded") + printable(who + took));
}

function tellFailure(error: ControlError, progress: Progress, context: Context): void {
  const { err } = context;
  const style = styleOf(err, context);
  const code = error.code === undefined ? "" : ` (${error.code})`;
  line(
    err,
    `changeover: ${style.bad("upgrade failed")} after ${spellDuration(progress.elapsedMs)}${
      printable(`${code}: ${error.message}`)
    }`,
  );
  const output = printable(error.childOutput ?? "").replace(/\n+$/, "");
  if (output !== "") {
    line(err, "The last lines of the new process:");
    for (const text of output.split("\n")) line(err, `  ${style.dim("|")} ${text}`);
  }
}

/** A failed upgrade leaves the service as it was, unless it was on its way out already. */
function tellWhoServes(now: UpgraderStatus | undefined, { err }: Context): number {
  if (now === undefined || now.state === "stopping" || now.state === "draining") {
    line(err, "The service is leaving, or has left.");
    return NOTHING_THERE;
  }
  line(err, `Generation ${now.generation} (pid ${now.pid}) still serves.`);
  return FAILED;
}
