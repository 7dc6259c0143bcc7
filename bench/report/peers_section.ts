/**
 * The comparison as Markdown. Pure.
 *
 * @module
 */

import { figuresOf, type PeerFigures, POPULATIONS } from "./figures.ts";
import { ratio, short, table, withSpread } from "./markdown.ts";
import { measured, type PeerRow, type Results } from "./results.ts";

/** The section of the page. */
export function peersSection({ peers }: Results): string {
  if (peers === undefined) return "Not measured.\n";
  const rows = measured(peers).map(figuresOf);
  const { clients } = peers;
  return [
    `${clients["keepAlive"]} keep-alive clients, ${
      clients["oneShot"]
    } with one connection per request, ` +
    `${clients["post"]} that POST a body and compare the echo, ${
      clients["webSocket"]
    } WebSockets (not nginx, which ` +
    "has no handler for them; an answer behind a close frame does not count), and a prober that opens a connection every 5 ms; none retries. A connection that the client " +
    "has seen closed before it writes is no loss. Each run first saturates the server and flips it, then paces the clients " +
    `(${peers.thinkMs} ms between requests) and flips it again. One process or worker everywhere; two by nature for the ` +
    "time of the flip.",
    "### Ratios",
    ratios(rows),
    "Messages: of WebSockets, while saturated. p99: of the paced requests that overlap the second after asking for " +
    "the flip, against steady ones. Memory: PSS of all processes at its peak, against steady.",
    "### Lost per 100,000 requests, by population",
    populations(rows),
    "### Latency, paced, in ms",
    latencies(rows),
    "### Where others do better, and why",
    better(rows),
    "### What was done, and where that is documented",
    practices(measured(peers)),
    ...Object.entries(peers.skipped).map(([name, why]) => `Not measured: ${name}, ${why}.`),
    ...peers.rows.filter(({ failures }) => failures.length > 0)
      .map(({ label, failures }) =>
        `Failed runs of ${label}: ${failures.length} (${failures[0]!.split("\n")[0]}).`
      ),
    ...rows.filter(({ consistent }) => !consistent)
      .map(({ label }) =>
        `The client's counters do not agree for ${label}: do not believe that row.`
      ),
  ].join("\n\n") + "\n";
}

function practices(rows: readonly PeerRow[]): string {
  const [first] = rows.filter(({ ours }) => ours);
  const shown = rows.filter((row) => !row.ours || row === first);
  return shown.map(({ label, ours, practice, source }) =>
    `- ${ours ? "changeover" : label}: ${practice} (${
      source.startsWith("https") ? `<${source}>` : `[${source}](../${source})`
    })`
  ).join("\n");
}

function ratios(rows: readonly PeerFigures[]): string {
  return table(
    [
      "",
      "requests lost per flip, saturated",
      "messages",
      "requests, paced",
      "p99 at the flip / steady",
      "memory peak / steady",
      "CPU time of a flip, ms",
      "first answer of the new one, ms",
      "asked in all",
      "lost in all",
      "runs",
    ],
    rows.map((row) => [
      row.ours ? `**${row.label}**` : row.label,
      withSpread(row.lostPerFlip),
      withSpread(row.messagesPerFlip),
      withSpread(row.lostPerFlipPaced),
      withSpread(row.p99Ratio, ratio),
      withSpread(row.memoryRatio, ratio),
      withSpread(row.flipCpuMs),
      withSpread(row.firstAnswerMs),
      short(row.sent),
      short(row.lost),
      String(row.runs),
    ]),
  );
}

function populations(rows: readonly PeerFigures[]): string {
  const titles = ["keep-alive", "one-shot", "POST", "WebSocket", "prober"];
  return table(
    ["", ...titles],
    rows.map((row) => [
      row.label,
      ...POPULATIONS.map((name) => short(row.perPopulation[name] ?? NaN)),
    ]),
  );
}

function latencies(rows: readonly PeerFigures[]): string {
  const keys = ["p50", "p99", "p999", "max"] as const;
  const titles = ["p50", "p99", "p99.9", "worst"];
  return table(
    ["", ...titles.map((title) => `${title} steady`), ...titles.map((title) => `${title} flip`)],
    rows.map((row) => [
      row.label,
      ...keys.map((key) => short(key === "max" ? row.steady.max.max : row.steady[key].median)),
      ...keys.map((key) => short(key === "max" ? row.flip.max.max : row.flip[key].median)),
    ]),
  );
}

interface Measure {
  readonly what: string;
  readonly of: (row: PeerFigures) => number;
  readonly format: (value: number) => string;
  readonly why: string;
}

// Less is better in all of them.
const MEASURES: readonly Measure[] = [
  {
    what: "requests lost per flip, saturated",
    of: ({ lostPerFlip }) => lostPerFlip.median,
    format: short,
    why: "none should be: this is a defect",
  },
  {
    what: "WebSocket messages lost per flip, saturated",
    of: ({ messagesPerFlip }) => messagesPerFlip.median,
    format: short,
    why: "none should be: this is a defect",
  },
  {
    what: "p99 at the flip / steady",
    of: ({ p99Ratio }) => p99Ratio.median,
    format: ratio,
    why:
      "a whole runtime starts and compiles beside the old process on the same cores, and its first requests run in code " +
      "that no JIT has seen; nginx forks a worker and is warm at once",
  },
  {
    what: "memory peak / steady",
    of: ({ memoryRatio }) => memoryRatio.median,
    format: ratio,
    why:
      "two whole processes exist during the overlap, which is what lets the old one go on when the new one fails; a " +
      "restart has one at a time and serves nobody in between",
  },
  {
    what: "CPU time of a flip",
    of: ({ flipCpuMs }) => flipCpuMs.median,
    format: (value) => `${short(value)} ms`,
    why:
      "it is mostly the start of the runtime and the compilation of hot code; nginx has neither, and a service that does " +
      "not answer for a while uses less CPU than one that does",
  },
  {
    what: "first answer of the new one",
    of: ({ firstAnswerMs }) => firstAnswerMs.median,
    format: (value) => `${short(value)} ms`,
    why: "a process accepts nothing before its own `ready()`, and it has a runtime to start",
  },
];

function better(rows: readonly PeerFigures[]): string {
  const ours = rows.filter((row) => row.ours);
  const others = rows.filter((row) => !row.ours);
  if (ours.length === 0 || others.length === 0) return "Nothing to compare.";
  const lines = MEASURES.map(({ what, of, format, why }) => {
    const best = minimum(others, of);
    const [first, last] = [minimum(ours, of), maximum(ours, of)];
    if (best === undefined || first === undefined || last === undefined) {
      return `- ${what}: not known`;
    }
    const range = `ours ${format(of(first))} (${first.label.replace("changeover, ", "")}) to ${
      format(of(last))
    } (${last.label.replace("changeover, ", "")})`;
    const text = `${what}: best of the others ${format(of(best))} (${best.label}), ${range}`;
    return of(last) <= of(best) ? `- ${text}` : `- ${text}: ${why}`;
  });
  return lines.join("\n");
}

function minimum(rows: readonly PeerFigures[], of: (row: PeerFigures) => number) {
  return rows.filter((row) => Number.isFinite(of(row))).toSorted((a, b) => of(a) - of(b))[0];
}

function maximum(rows: readonly PeerFigures[], of: (row: PeerFigures) => number) {
  return rows.filter((row) => Number.isFinite(of(row))).toSorted((a, b) => of(b) - of(a))[0];
}
