/**
 * A report as a text for people.
 *
 * @module
 */

import type { TallyReport } from "./account.ts";
import type { Latency } from "./histogram.ts";
import { OUTCOMES } from "./outcome.ts";
import type { Report } from "./report.ts";

/** Prints a report as tables; ends in a line that says whether it can be believed. */
export function tableOf(report: Report): string {
  const rows = Object.entries(report.populations);
  if (report.prober !== null) rows.push(["prober", report.prober]);
  const populations = [
    ["population", "sent", "answered", "lost", "not sent"],
    ...rows.map(([name, { sent, answered, lost, outcomes }]) =>
      [name, sent, answered, lost, outcomes["not-sent"]].map(String)
    ),
    ["all but prober", report.sent, report.answered, report.lost, report.notSent].map(String),
  ];
  const windows = [
    ["window", "requests", "lost", "p50 ms", "p99 ms", "p99.9 ms", "max ms"],
    ...report.windows.map(({ label, requests, lost, latency }) => [
      label,
      String(requests),
      String(lost),
      ...latencyCells(latency),
    ]),
    ["all", String(report.sent), String(report.lost), ...latencyCells(report.latency)],
  ];
  const identities = [
    ["answered by", "answers", "first ms", "last ms"],
    ...report.identities.map(({ identity, answers, firstMs, lastMs }) =>
      [identity.slice(0, 40), answers, firstMs, lastMs].map(String)
    ),
  ];
  const parts = [align(populations), align(windows), align(identities)];
  parts.push(...lossesOf("lost", report));
  if (report.prober !== null) parts.push(...lossesOf("lost by the prober", report.prober));
  parts.push(summary(report));
  return `${parts.join("\n\n")}\n`;
}

function summary(report: Report): string {
  const { count, maxLagMs } = report.wentBack;
  const lines = [
    `${report.answered} answered in ${
      (report.durationMs / 1000).toFixed(1)
    } s (${report.rps}/s), ` +
    `${report.lost} lost, ${report.notSent} times a closed connection was seen before writing`,
  ];
  if (report.events > 0) lines.push(`${report.events} events came in streams`);
  if (count > 0) {
    lines.push(`an older version answered ${count} later connections, by up to ${maxLagMs} ms`);
  }
  lines.push(
    report.consistent
      ? "the account is consistent"
      : `THE ACCOUNT IS NOT CONSISTENT:\n  ${report.inconsistencies.join("\n  ")}`,
  );
  return lines.join("\n");
}

function lossesOf(title: string, { lost, lossKinds, outcomes }: TallyReport): string[] {
  if (lost === 0) return [];
  const classes = OUTCOMES
    .filter((outcome) => outcome !== "answered" && outcome !== "not-sent" && outcomes[outcome] > 0)
    .map((outcome) => `${outcome} ${outcomes[outcome]}`);
  const kinds = Object.entries(lossKinds).map(([kind, count]) => [`  ${kind}`, String(count)]);
  return [`${title}: ${classes.join(", ")}\n${align(kinds)}`];
}

function latencyCells({ p50, p99, p999, max }: Latency): string[] {
  return [p50, p99, p999, max].map((ms) => ms.toFixed(2));
}

// The first column to the left, numbers to the right.
function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]!.length))) ??
    [];
  return rows.map((row) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
    ).join("  ")
  ).join("\n");
}
