/**
 * The plots as vega-lite specifications. Pure.
 *
 * @module
 */

import { spread } from "../measure/statistics.ts";
import { STEPS } from "../parts/start.ts";
import { figuresOf } from "./figures.ts";
import { measured, type Results } from "./results.ts";

/** A specification: https://vega.github.io/vega-lite/docs/spec.html */
export type Specification = Readonly<Record<string, unknown>>;

const GREEN = "#2a9d8f";
const BLUE = "#457b9d";
const GREY = "#b8b8b8";
const FONT = "system-ui, sans-serif";

/** All that can be drawn from these results, by file name. */
export function plotsOf(results: Results): Readonly<Record<string, Specification>> {
  const plots: Record<string, Specification | undefined> = {
    flip: flipPlot(results),
    lost: lostPlot(results),
    latency: latencyPlot(results),
    steps: stepsPlot(results),
    sockets: socketsPlot(results),
  };
  return Object.fromEntries(
    Object.entries(plots).filter((entry): entry is [string, Specification] =>
      entry[1] !== undefined
    ),
  );
}

/** The servers in the picture of README; the others are in the table. */
const SHOWN = ["node26", "deno-serve", "bun-serve"];

/** Requests per second by who answered them, beside each other for three runtimes. */
function flipPlot({ flip }: Results): Specification | undefined {
  const rows = measured(flip).filter(({ name }) => SHOWN.includes(name));
  if (rows.length === 0) return undefined;
  const values = rows.flatMap(({ label, runs }) => {
    // The run in the middle, by the time until the new process answered.
    const run = runs.toSorted((a, b) => a.firstAnswerMs - b.firstAnswerMs)[runs.length >> 1]!;
    return run.answers.flatMap((slices, generation) =>
      // The first slice is that of opening the connections, the last one is cut short.
      slices.slice(1, -1).map((answers, index) => ({
        label,
        process: generation === 0 ? "old process" : "new process",
        generation,
        seconds: (run.beginsMs + (index + 1.5) * run.sliceMs) / 1000,
        perSecond: answers * 1000 / run.sliceMs,
      }))
    );
  });
  const all = measured(flip).flatMap(({ runs }) => runs);
  const sum = (key: "sent" | "lost") => all.reduce((total, run) => total + run[key], 0);
  return framed({
    title: {
      text: "Who answers while one process replaces another",
      subtitle:
        `${sum("lost").toLocaleString("en-US")} of ${
          sum("sent").toLocaleString("en-US")
        } requests lost in ` +
        `${all.length} flips of ${measured(flip).length} kinds of servers; asked to flip at 0 s`,
    },
    data: { values },
    facet: {
      column: {
        field: "label",
        type: "nominal",
        title: null,
        sort: rows.map(({ label }) => label),
      },
    },
    spec: {
      width: 230,
      height: 150,
      layer: [
        {
          mark: { type: "area", interpolate: "monotone" },
          encoding: {
            x: {
              field: "seconds",
              type: "quantitative",
              title: "seconds",
              axis: { grid: false },
              scale: { nice: false },
            },
            y: {
              field: "perSecond",
              type: "quantitative",
              stack: "zero",
              title: "answers per second",
            },
            color: {
              field: "process",
              type: "nominal",
              title: null,
              scale: { domain: ["old process", "new process"], range: [GREY, GREEN] },
              legend: { orient: "bottom" },
            },
            order: { field: "generation" },
          },
        },
        {
          transform: [{ filter: "datum.generation === 0" }],
          mark: { type: "rule", strokeDash: [4, 3], color: "#444" },
          encoding: { x: { datum: 0, type: "quantitative" } },
        },
      ],
    },
  });
}

function lostPlot({ peers }: Results): Specification | undefined {
  const rows = measured(peers).map(figuresOf);
  if (rows.length === 0) return undefined;
  return bars({
    title: {
      text: "Requests lost per flip, saturated",
      subtitle: "median, and the least and the most of all runs",
    },
    values: rows.map(({ label, ours, lostPerFlip: { median, min, max } }) => ({
      label,
      ours,
      median,
      min,
      max,
    })),
    axis: "lost requests",
  });
}

function latencyPlot({ peers }: Results): Specification | undefined {
  const rows = measured(peers).map(figuresOf);
  if (rows.length === 0) return undefined;
  return bars({
    title: {
      text: "p99 in the second around a flip / steady p99",
      subtitle: "paced clients; median, and the least and the most of all runs",
    },
    values: rows.map(({ label, ours, p99Ratio: { median, min, max } }) => ({
      label,
      ours,
      median,
      min,
      max,
    })),
    axis: "ratio",
    scale: "log",
  });
}

interface Bars {
  readonly title: Specification;
  readonly values: readonly {
    readonly label: string;
    readonly ours: boolean;
    readonly median: number;
    readonly min: number;
    readonly max: number;
  }[];
  readonly axis: string;
  readonly scale?: "log";
}

function bars({ title, values, axis, scale }: Bars): Specification {
  const y = {
    field: "label",
    type: "nominal",
    sort: values.map(({ label }) => label),
    title: null,
    axis: { labelLimit: 320 },
  };
  const x = (field: string) => ({
    field,
    type: "quantitative",
    title: axis,
    ...(scale === undefined ? {} : { scale: { type: scale } }),
  });
  return framed({
    title,
    width: 420,
    height: { step: 20 },
    data: { values },
    layer: [
      {
        mark: scale === "log"
          ? { type: "point", filled: true, size: 60 }
          : { type: "bar", height: 12 },
        encoding: {
          x: x("median"),
          y,
          color: {
            field: "ours",
            type: "nominal",
            scale: { domain: [true, false], range: [GREEN, BLUE] },
            legend: null,
          },
        },
      },
      { mark: { type: "rule" }, encoding: { x: x("min"), x2: { field: "max" }, y } },
    ],
  });
}

/** Colours of the steps: what is not ours is grey. */
const STEP_COLOURS: Readonly<Record<string, string>> = {
  "signal to start": "#264653",
  runtime: "#c9c9c9",
  import: "#2a9d8f",
  create: "#457b9d",
  "user's init": "#9a9a9a",
  listen: "#e9c46a",
  ready: "#f4a261",
  commit: "#e76f51",
};

function stepsPlot({ start }: Results): Specification | undefined {
  const rows = measured(start);
  if (rows.length === 0) return undefined;
  const steps = STEPS.filter((step) => step !== "leave");
  return framed({
    title: {
      text: "Where the time of an upgrade goes",
      subtitle: "medians; grey: the runtime's own start and the program's",
    },
    width: 420,
    height: { step: 24 },
    data: {
      values: rows.flatMap(({ label, runs }) =>
        steps.map((step, order) => ({
          label,
          step,
          order,
          ms: spread(runs.map((run) => run.steps[step])).median,
        }))
      ),
    },
    mark: { type: "bar", height: 16 },
    encoding: {
      x: { field: "ms", type: "quantitative", stack: "zero", title: "ms" },
      y: { field: "label", type: "nominal", sort: rows.map(({ label }) => label), title: null },
      color: {
        field: "step",
        type: "nominal",
        title: null,
        scale: { domain: steps, range: steps.map((step) => STEP_COLOURS[step]) },
      },
      order: { field: "order" },
    },
  });
}

function socketsPlot({ sockets }: Results): Specification | undefined {
  const rows = measured(sockets);
  if (rows.length === 0) return undefined;
  return framed({
    title: {
      text: "Upgrade time by number of sockets",
      subtitle: "medians; both scales are logarithmic",
    },
    width: 420,
    height: 260,
    data: {
      values: rows.flatMap(({ label, runs }) =>
        sockets!.counts.map((count) => ({
          label,
          sockets: count,
          ms: spread(runs.map((run) =>
            run.find(({ sockets }) => sockets === count)?.upgradeMs
          )).median,
        }))
      ),
    },
    mark: { type: "line", point: true },
    encoding: {
      x: { field: "sockets", type: "quantitative", scale: { type: "log" }, title: "sockets" },
      y: { field: "ms", type: "quantitative", scale: { type: "log" }, title: "ms" },
      color: { field: "label", type: "nominal", title: null, sort: rows.map(({ label }) => label) },
    },
  });
}

function framed(specification: Specification): Specification {
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    padding: 10,
    config: {
      font: FONT,
      title: { anchor: "start", subtitleColor: "#666", offset: 12 },
      view: { stroke: null },
      header: { labelFontSize: 12 },
    },
    ...specification,
  };
}
