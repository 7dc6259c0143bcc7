/**
 * What Prometheus reads: text exposition format 0.0.4.
 *
 * @module
 */

import { ERROR_CODES } from "../errors.ts";
import type { UpgraderStatus } from "../report.ts";
import type { TotalCounts } from "../totals.ts";

/** What is told. */
export interface Measured {
  readonly status: UpgraderStatus;
  readonly totals: TotalCounts;
  /** Upper bounds of `totals.durations`, in seconds. */
  readonly bounds: readonly number[];
}

/** No upgrade ends with these. */
const NO_RESULTS: readonly string[] = ["ERR_ALREADY_CREATED", "ERR_UNSUPPORTED"];
/** Every result, so that the first of its kind is an increase from zero and not a new series. */
const RESULTS: readonly string[] = [
  "upgraded",
  ...ERROR_CODES.filter((code) => !NO_RESULTS.includes(code)),
];

type Labels = Readonly<Record<string, string | number>>;

function sample(name: string, value: number, labels: Labels = {}): string {
  const inside = Object.entries(labels).map(([label, text]) =>
    `${label}="${String(text).replace(/[\\"\n]/g, (one) => one === "\n" ? "\\n" : `\\${one}`)}"`
  );
  return `${name}${inside.length === 0 ? "" : `{${inside.join(",")}}`} ${value}\n`;
}

function metric(name: string, type: string, help: string, samples: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples}`;
}

/** Writes what is known as Prometheus text. */
export function metricsText({ status, totals, bounds }: Measured): string {
  const { generation, pid, runtime, version, state } = status;
  const { upgrades, durations, seconds } = totals;
  const results = new Set([...RESULTS, ...Object.keys(upgrades)]);
  const duration = "changeover_upgrade_duration_seconds";
  const done = upgrades["upgraded"] ?? 0;
  let sum = 0;
  return [
    metric(
      "changeover_info",
      "gauge",
      "The process that owns the service.",
      sample("changeover_info", 1, { pid, runtime, version, state }),
    ),
    metric(
      "changeover_generation",
      "gauge",
      "Which process in the chain this is; the first is 1.",
      sample("changeover_generation", generation),
    ),
    metric(
      "changeover_upgrades_total",
      "counter",
      "Upgrades of the service by result: upgraded, or the code of the error; refused ones too.",
      [...results].map((result) =>
        sample("changeover_upgrades_total", upgrades[result] ?? 0, { result })
      ).join(""),
    ),
    metric(
      duration,
      "histogram",
      "From the request until the successor was the owner, of upgrades that succeeded.",
      bounds.map((le, index) => {
        sum += durations[index] ?? 0;
        return sample(`${duration}_bucket`, sum, { le });
      }).join("") + sample(`${duration}_bucket`, done, { le: "+Inf" }) +
        sample(`${duration}_sum`, seconds) + sample(`${duration}_count`, done),
    ),
    metric(
      "changeover_connections",
      "gauge",
      "Open connections of the servers that are watched, in this process.",
      sample("changeover_connections", status.connections),
    ),
    metric(
      "changeover_draining_generations",
      "gauge",
      "Older processes that have connections to finish.",
      sample("changeover_draining_generations", status.draining.length),
    ),
    metric(
      "changeover_drained_connections_total",
      "counter",
      "Connections that replaced processes let finish.",
      sample("changeover_drained_connections_total", totals.drained),
    ),
    metric(
      "changeover_cut_connections_total",
      "counter",
      "Connections that replaced processes cut at the end of their time.",
      sample("changeover_cut_connections_total", totals.cut),
    ),
  ].join("");
}
