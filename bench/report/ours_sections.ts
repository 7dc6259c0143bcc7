/**
 * What concerns this library alone, as Markdown. Pure.
 *
 * @module
 */

import { line, spread } from "../measure/statistics.ts";
import { STEPS } from "../parts/start.ts";
import { ratio, short, table, withSpread } from "./markdown.ts";
import { measured, type ResultRow, type Results } from "./results.ts";

const NOT_MEASURED = "Not measured.\n";

/** Upgrade time and cold start, step by step. */
export function startSection({ start }: Results): string {
  const rows = measured(start);
  if (rows.length === 0) return NOT_MEASURED;
  return [
    "From the signal until the successor owns the service, against the time from starting the same program to its first " +
    "response, by turns on an idle server (goal: at most 1.10).",
    table(
      [
        "",
        "upgrade / cold start",
        "upgrade, ms",
        "cold start, ms",
        "CPU of the start, upgrade / cold",
        "import, ms",
        "`listen` adopted, ms",
        "native, ms",
        "runs",
      ],
      rows.map(({ label, runs }) => [
        label,
        withSpread(spread(runs.map(({ upgradeMs, coldMs }) => upgradeMs / coldMs)), ratio),
        withSpread(spread(runs.map(({ upgradeMs }) => upgradeMs))),
        withSpread(spread(runs.map(({ coldMs }) => coldMs))),
        withSpread(spread(runs.map((run) => run.upgradeCpuMs / run.coldCpuMs)), ratio),
        withSpread(spread(runs.map(({ importMs }) => importMs))),
        withSpread(spread(runs.map(({ listenAdoptedMs }) => listenAdoptedMs))),
        withSpread(spread(runs.map(({ listenNativeMs }) => listenNativeMs))),
        String(runs.length),
      ]),
    ),
    "Where the time of an upgrade goes, medians in ms. `runtime` is the start of Node, Deno or Bun up to the program's first " +
    "line, `user's init` what the program does itself (here: next to nothing); the others are ours. `leave` is from then " +
    "until the old process, without a connection, has ended.",
    table(
      ["", ...STEPS, "ours without `leave`"],
      rows.map(({ label, runs }) => {
        const medians = STEPS.map((step) => spread(runs.map(({ steps }) => steps[step])).median);
        const ours = STEPS.reduce(
          (sum, step, index) => NOT_OURS.has(step) ? sum : sum + medians[index]!,
          0,
        );
        return [label, ...medians.map(short), short(ours)];
      }),
    ),
  ].join("\n\n") + "\n";
}

const NOT_OURS: ReadonlySet<string> = new Set(["runtime", "user's init", "leave"]);

/** Hand-over of many sockets. */
export function socketsSection({ sockets }: Results): string {
  const rows = measured(sockets);
  if (rows.length === 0) return NOT_MEASURED;
  const counts = sockets!.counts;
  return [
    "Upgrade time with so many sockets, each with a server of its own; the slope is that of a straight line through all runs.",
    table(
      ["", "slope, ms per socket", "r²", ...counts.map((count) => `${short(count)}, ms`), "runs"],
      rows.map(({ label, runs }) => {
        const fit = line(
          runs.flatMap((run) => run.map(({ sockets, upgradeMs }) => [sockets, upgradeMs] as const)),
        );
        return [
          label,
          short(fit.slope),
          fit.r2.toFixed(3),
          ...counts.map((count) =>
            withSpread(spread(
              runs.map((run) => run.find(({ sockets }) => sockets === count)?.upgradeMs),
            ))
          ),
          String(runs.length),
        ];
      }),
    ),
  ].join("\n\n") + "\n";
}

/** Throughput of adopted servers. */
export function throughputSection({ throughput }: Results): string {
  const rows = measured(throughput);
  if (rows.length === 0) return NOT_MEASURED;
  return [
    `A server that was given its socket against the same server that bound its own: two processes at the same time, asked by ` +
    `turns (A B B A) by one client with ${
      throughput!.connections
    } connections; fresh processes for each run, because two ` +
    "processes of one program differ by some per cent. 1.00 is equal, more is better.",
    table(
      [
        "",
        "requests per second, adopted / native",
        "requests per CPU second, adopted / native",
        "native, per second",
        "runs",
      ],
      rows.map(({ label, runs }) => [
        label,
        withSpread(spread(runs.map((run) => run.ratio)), ratio),
        withSpread(spread(runs.map(({ cpuRatio }) => cpuRatio)), ratio),
        withSpread(spread(runs.map(({ nativeRps }) => nativeRps))),
        String(runs.length),
      ]),
    ),
    summary(rows, (run) => run.ratio),
  ].join("\n\n") + "\n";
}

function summary<Run>(rows: readonly ResultRow<Run>[], of: (run: Run) => number): string {
  const all = rows.map(({ runs }) => spread(runs.map(of)));
  const medians = spread(all.map(({ median }) => median));
  const below = all.filter(({ max }) => max < 0.99).length;
  return `Median of all rows ${
    ratio(medians.median)
  }; rows whose every run is below 0.99: ${below} of ${rows.length}.`;
}

/** Drain of idle connections. */
export function idleSection({ idle }: Results): string {
  const rows = measured(idle);
  if (rows.length === 0) return NOT_MEASURED;
  return [
    `${
      short(idle!.connections)
    } connections that have asked once and are idle; \`idleGraceMs\` is ${idle!.idleGraceMs}. ` +
    "Meanwhile a newcomer comes every 10 ms.",
    table(
      [
        "",
        "closed in order",
        "reset",
        "cut",
        "longest stop of the event loop in the drain, ms",
        "while it served, ms",
        "slowest newcomer, ms",
        "newcomers lost",
        "drain, ms",
        "runs",
      ],
      rows.map(({ label, runs }) => [
        label,
        withSpread(spread(runs.map(({ ended }) => ended))),
        short(spread(runs.map(({ reset }) => reset)).max),
        short(spread(runs.map(({ cut }) => cut)).max),
        withSpread(spread(runs.map(({ longestStopMs }) => longestStopMs))),
        withSpread(spread(runs.map(({ servingStopMs }) => servingStopMs))),
        withSpread(spread(runs.map(({ slowestMs }) => slowestMs))),
        short(runs.reduce((sum, { probesLost }) => sum + probesLost, 0)),
        withSpread(spread(runs.map(({ drainMs }) => drainMs))),
        String(runs.length),
      ]),
    ),
  ].join("\n\n") + "\n";
}

/** Hand-over of state. */
export function stateSection({ state }: Results): string {
  const rows = measured(state);
  if (rows.length === 0) return NOT_MEASURED;
  return [
    `${
      short(state!.bytes / 2 ** 20)
    } MiB through \`handOver\` and \`received\`, as base64 in JSON on the control channel.`,
    table(
      ["", "MB/s", "runs"],
      rows.map(({ label, runs }) => [
        label,
        withSpread(spread(runs.map(({ megabytesPerSecond }) => megabytesPerSecond))),
        String(runs.length),
      ]),
    ),
  ].join("\n\n") + "\n";
}

/** Who answers during a flip. */
export function flipSection({ flip }: Results): string {
  const rows = measured(flip);
  if (rows.length === 0) return NOT_MEASURED;
  return [
    table(
      ["", "requests", "lost", "first answer of the new process, ms", "flips"],
      rows.map(({ label, runs }) => [
        label,
        short(runs.reduce((sum, { sent }) => sum + sent, 0)),
        short(runs.reduce((sum, { lost }) => sum + lost, 0)),
        withSpread(spread(runs.map(({ firstAnswerMs }) => firstAnswerMs))),
        String(runs.length),
      ]),
    ),
  ].join("\n\n") + "\n";
}
