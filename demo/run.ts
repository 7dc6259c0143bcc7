/**
 * The demo from its first line to its last.
 *
 * @module
 */

import { setTimeout as sleep } from "node:timers/promises";
import type { Load, Report, TallyReport } from "../bench/load/load.ts";
import type { TestRuntime } from "../scripts/runtimes.mjs";
import { App } from "./app.ts";
import { grouped, whoIs } from "./names.ts";
import { sceneOne } from "./scene_one.ts";
import { CLIENTS, sceneTwo } from "./scene_two.ts";
import type { Screen } from "./screen.ts";
import { pairsOf, tourOf } from "./tour.ts";
import { type Account, accountOf, judge, type Verdict } from "./verdict.ts";

const SCENES = 2;
const CLIENTS_MS = 1000;

/** What the demo needs. */
export interface RunOptions {
  readonly present: readonly TestRuntime[];
  readonly screen: Screen;
  /** Fewer upgrades, and less time between them. */
  readonly short: boolean;
  /** Ends everything early. */
  readonly signal: AbortSignal;
}

/**
 * Plays both scenes, ends every process, and prints the verdict.
 *
 * @returns Whether all went well.
 * @throws What went wrong on the way, or the reason of the signal; nothing is left behind then, either.
 */
export async function run({ present, screen, short, signal }: RunOptions): Promise<boolean> {
  const beganMs = performance.now();
  const tour = tourOf(present, short);
  const [first, second, ...others] = tour;
  if (first === undefined || second === undefined) throw new Error("No version of Node is here");
  screen.line(screen.paint("bold", "changeover: a server is replaced while it is busy"));
  const loads: Load[] = [];
  const accounts: Account[] = [];
  const scene = {
    screen,
    signal,
    stayMs: short ? 1000 : 2000,
    started: (load: Load): void => void loads.push(load),
  };
  const app = new App(signal);
  let left: readonly string[] = [];
  try {
    title(screen, "Scene 1", "a server that takes one second to start, ten requests per second");
    screen.line(`   ${whoIs(await app.start(first))} listens on port ${app.serving.port}`);
    const one = await sceneOne(second, { ...scene, app });
    const { tally } = accounts[accounts.push(accountOf(one.report, one.beganMs)) - 1]!;
    screen.line(
      `   ${tally.answered} answers to ${tally.sent} requests, ` +
        `the longest pause between two of them ${Math.round(one.longestPauseMs)} ms`,
    );

    const clients = CLIENTS.keepAlive + CLIENTS.oneShot + CLIENTS.post;
    title(screen, "Scene 2", `${clients} clients, ${others.length} upgrades through all runtimes`);
    screen.line(
      `   ${CLIENTS.keepAlive} keep-alive clients, ${CLIENTS.oneShot} with a new connection for ` +
        `each request, ${CLIENTS.post} that POST\n`,
    );
    const two = await sceneTwo(others, { ...scene, app });
    accounts.push(accountOf(two.report, two.beganMs));
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (app.errors !== "") screen.line(`\n${screen.paint("dim", app.errors.trimEnd())}`);
    throw error;
  } finally {
    const stopped = Promise.all(loads.map((load) => load.stop()));
    // The clients first, or what they still ask would be lost; not for long, the server may be what is broken.
    await Promise.race([stopped, sleep(CLIENTS_MS, undefined, { ref: false })]);
    left = await app.end();
    const reports = await stopped;
    // Nobody judges what was not played to its end.
    if (accounts.length < SCENES) complain(screen, left, reports);
  }
  const verdict = judge(app.generations, accounts, left);
  const seconds = Math.round((performance.now() - beganMs) / 1000);
  title(
    screen,
    "Result",
    `${tour.length - 1} upgrades (one second of each is the server's start) in ${seconds} s; ` +
      `${pairsOf(tour)} of the 9 pairs of runtimes`,
  );
  print(screen, verdict);
  return verdict.problems.length === 0;
}

function complain(screen: Screen, left: readonly string[], reports: readonly Report[]): void {
  for (const problem of left) screen.line(screen.paint("bad", `Left behind: ${problem}`));
  const tallies: TallyReport[] = reports.flatMap((report) =>
    report.prober === null ? [report] : [report, report.prober]
  );
  const total = (count: (tally: TallyReport) => number): string =>
    grouped(tallies.reduce((sum, tally) => sum + count(tally), 0));
  screen.line(
    `\n   ${total(({ sent }) => sent)} requests so far, ${total(({ lost }) => lost)} lost`,
  );
}

function title(screen: Screen, name: string, text: string): void {
  screen.line(`\n${screen.paint("bold", name)}  ${text}\n`);
}

function print(screen: Screen, verdict: Verdict): void {
  const { table, sent, lost, consistent, problems } = verdict;
  const widths = table[0]!.map((_, at) => Math.max(...table.map((row) => row[at]!.length)));
  for (const [index, row] of table.entries()) {
    const cells = row.map((cell, at) =>
      at === 1 || at === 2 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)
    );
    screen.line(`   ${screen.paint(index === 0 ? "dim" : "plain", cells.join("  "))}`);
  }
  const account = consistent ? "accounting consistent" : "ACCOUNTING NOT CONSISTENT";
  screen.line(`\n   ${grouped(sent)} requests, ${grouped(lost)} lost, ${account}`);
  if (problems.length === 0) {
    screen.line(`   versions only went forward, all processes have ended, no file is left\n`);
    screen.line(screen.paint("good", "PASSED  nobody noticed"));
    return;
  }
  screen.line();
  for (const problem of problems) screen.line(screen.paint("bad", `FAILED  ${problem}`));
}
