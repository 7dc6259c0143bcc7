/**
 * The page `docs/benchmarks.md`, and what README shows. Pure.
 *
 * @module
 */

import type { About } from "../machine.ts";
import { spread } from "../measure/statistics.ts";
import { figuresOf, type PeerFigures } from "./figures.ts";
import { ratio, short, table } from "./markdown.ts";
import {
  flipSection,
  idleSection,
  socketsSection,
  startSection,
  stateSection,
  throughputSection,
} from "./ours_sections.ts";
import { peersSection } from "./peers_section.ts";
import { measured, type Results } from "./results.ts";

/** The whole page. `plots` are the names of those that were drawn. */
export function pageOf(results: Results, plots: readonly string[]): string {
  const picture = (name: string, alt: string) =>
    plots.includes(name) ? `![${alt}](benchmarks/${name}.svg)\n` : "";
  return [
    "# Benchmarks",
    "`npm run bench` measures all of this on one machine in less than 30 minutes, writes the raw figures of every run into " +
    "[`bench/results/`](../bench/results), and this page. `npm run bench -- --help` lists the parts. Do not edit: it is " +
    "written over.",
    howSection(results),
    "## Who answers during a flip",
    picture("flip", "Answers per second of the old and the new process around a flip"),
    flipSection(results),
    "## Against what people use instead",
    picture("lost", "Lost requests per flip"),
    picture("latency", "p99 around a flip against steady p99"),
    peersSection(results),
    "## Upgrade time and cold start",
    picture("steps", "Steps of an upgrade"),
    startSection(results),
    "## Many sockets",
    picture("sockets", "Upgrade time by number of sockets"),
    socketsSection(results),
    "## Throughput of an adopted server",
    throughputSection(results),
    "## Ten thousand idle connections",
    idleSection(results),
    "## State",
    stateSection(results),
  ].filter((text) => text !== "").join("\n\n").replace(/\n{3,}/g, "\n\n").trimEnd() + "\n";
}

function howSection(results: Results): string {
  const abouts = Object.values(results) as About[];
  const [first] = abouts;
  if (first === undefined) return "Nothing was measured yet.";
  const unique = (values: readonly string[]) => [...new Set(values)];
  const dates = unique(abouts.map(({ date }) => date.slice(0, 10)));
  const loads = spread(abouts.map(({ loadAverage }) => loadAverage));
  return [
    ...(abouts.some(({ quick }) => quick)
      ? ["**This was a quick run: it shows that everything works; the figures mean nothing.**"]
      : []),
    [
      `- Measured on ${dates.join(", ")} on ${first.machine}.`,
      `- Versions: ${
        Object.entries(first.versions).map(([name, version]) => `${name} ${version}`).join(", ")
      }.`,
      `- Client: ${first.client}, raw sockets, in a process of its own, the same for everybody.`,
      `- Commands: ${unique(abouts.map(({ command }) => `\`${command}\``)).join(", ")}.`,
      "- What is compared is measured by turns, A B C, C B A and so on, so that a drift of the machine favours nobody. A " +
      "figure is the median of the runs, in brackets the least and the most.",
      `- Load average when a part began: ${short(loads.min)} to ${
        short(loads.max)
      } (the previous part is in it).`,
    ].join("\n"),
  ].join("\n\n");
}

/** What README shows between its markers. */
export function readmeOf(results: Results, plots: readonly string[]): string {
  const rows = measured(results.peers).map(figuresOf);
  const lines = [];
  if (plots.includes("flip")) {
    lines.push(
      "![Answers per second of the old and the new process around a flip](docs/benchmarks/flip.svg)",
    );
  }
  if (rows.length > 0) {
    const ours = rows.filter((row) => row.ours);
    const reusePort = rows.filter(({ name }) => name.startsWith("reuse-port-"));
    const others = rows.filter((row) => !row.ours && !reusePort.includes(row));
    const servers = ours.length === 1 ? "1 server" : `${ours.length} servers`;
    lines.push(
      table(
        [
          "replaced while saturated",
          "requests lost per flip",
          "WebSocket messages",
          "p99 at the flip / steady (paced)",
          "asked",
        ],
        [
          ...group(`**changeover** (${servers} on Node, Deno and Bun)`, ours),
          ...others.flatMap((row) => group(row.label, [row])),
          ...group("SO_REUSEPORT and the official stop (Node, Deno, Bun)", reusePort),
        ],
      ),
    );
  }
  if (lines.length === 0) lines.push("Nothing was measured yet: `npm run bench`.");
  else {lines.push(
      "All figures, how they were measured, and where others do better: [docs/benchmarks.md](docs/benchmarks.md).",
    );}
  return lines.join("\n\n");
}

function group(label: string, rows: readonly PeerFigures[]): string[][] {
  if (rows.length === 0) return [];
  const range = (of: (row: PeerFigures) => number, format: (value: number) => string) => {
    const { min, max } = spread(rows.map(of));
    return format(min) === format(max) ? format(min) : `${format(min)} to ${format(max)}`;
  };
  return [[
    label,
    range(({ lostPerFlip }) => lostPerFlip.median, short),
    range(({ messagesPerFlip }) => messagesPerFlip.median, short),
    range(({ p99Ratio }) => p99Ratio.median, ratio),
    short(rows.reduce((total, { sent }) => total + sent, 0)),
  ]];
}
