// Plays the whole table of deaths: every row with every pair of Node 26, Deno and Bun.
//
//   npm run faults -- [--jobs 3] [--rows TEXT] [--pairs TEXT] [--load 20]
//
// Writes bench/results/faults.md when nothing was left out, and ends with 1 when something did not hold. The rows are
// data in tests/faults/rows*.ts; `npm test` plays each with one pair. `--load N` plays beside N busy processes of
// stress-ng(1).
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { execFileSync, spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { allPairs } from "../tests/faults/pairs.ts";
import { play, problem } from "../tests/faults/play.ts";
import type { Row } from "../tests/faults/row.ts";
import { deaths } from "../tests/faults/rows.ts";
import { stopped } from "../tests/faults/rows_stopped.ts";
import { troubles } from "../tests/faults/rows_trouble.ts";
import { type Pair, runtimes } from "../tests/support/runtimes.ts";

const { values } = parseArgs({
  options: {
    jobs: { type: "string", default: "3" },
    rows: { type: "string", default: "" },
    pairs: { type: "string", default: "" },
    load: { type: "string", default: "0" },
  },
});
const jobs = Number(values.jobs);
if (!Number.isSafeInteger(jobs) || jobs < 1) {
  console.error(`--jobs ${values.jobs} is no number of rows at a time`);
  process.exit(2);
}
const rows = [...deaths, ...stopped, ...troubles].filter(({ title }) =>
  title.includes(values.rows)
);
const pairs = allPairs.filter(({ title }) => title.includes(values.pairs));

interface Cell {
  readonly row: Row;
  readonly pair: Pair;
  result: string;
}
const cells: Cell[] = rows.flatMap((row) => pairs.map((pair) => ({ row, pair, result: "" })));
const cache = mkdtempSync(join(tmpdir(), "co-cache-"));
// Every generation is a new process; see scripts/test.mjs.
process.env["NODE_COMPILE_CACHE"] = cache;

const others = Number(values.load) > 0
  ? spawn("stress-ng", ["--cpu", values.load, "--timeout", "2h"], { stdio: "ignore" })
  : undefined;
others?.once("error", (error) => {
  console.error(`--load needs stress-ng: ${error.message}`);
  process.exit(2);
});

let stopping = false;
const failures: string[] = [];
const waiting = [...cells];

async function work(): Promise<void> {
  for (let cell = waiting.shift(); cell !== undefined && !stopping; cell = waiting.shift()) {
    const { row, pair } = cell;
    const name = `${row.title} (${pair.title})`;
    const why = problem(row);
    if (why !== undefined) {
      cell.result = "not here";
      console.log(`skipped  ${name}: ${why}`);
      continue;
    }
    const began = performance.now();
    try {
      await play(row, pair);
      cell.result = "holds";
      console.log(`holds    ${name}, ${((performance.now() - began) / 1000).toFixed(1)} s`);
    } catch (error) {
      cell.result = "**does not hold**";
      failures.push(name);
      console.log(`FAILED   ${name}\n${(error as Error).message.replace(/^(?=.)/gm, "    ")}`);
    }
  }
}

process.once("SIGINT", () => stopping = true);
process.once("SIGTERM", () => stopping = true);
try {
  // What a worker does not expect ends the others, too, each after the row that it is playing.
  const workers = await Promise.allSettled(
    Array.from({ length: jobs }, () =>
      work().catch((error) => {
        stopping = true;
        throw error;
      })),
  );
  for (const worker of workers) {
    if (worker.status === "rejected") failures.push(String(worker.reason?.stack ?? worker.reason));
  }
} finally {
  others?.kill();
  rmSync(cache, { recursive: true, force: true });
}

const isWhole = others === undefined && values.rows === "" && values.pairs === "" && !stopping;
if (isWhole) write();
console.log(
  `${cells.filter(({ result }) => result === "holds").length} of ${cells.length} hold` +
    (isWhole ? ", see bench/results/faults.md" : ""),
);
for (const failure of failures) console.log(`did not hold: ${failure}`);
process.exitCode = failures.length === 0 && !stopping ? 0 : 1;

function write(): void {
  const versions = runtimes.filter(({ name }) => pairs.some(({ parent }) => parent.name === name))
    .map(({ name, executable }) =>
      `${name} ${execFileSync(executable, ["--version"], { encoding: "utf8" }).split("\n")[0]}`
    );
  const told = ({ told, owner }: Row) =>
    `${told.length === 0 ? "(it was killed)" : told.join(", ")} | ${owner}`;
  const lost = ({ lost }: Row) =>
    lost === "none" ? "0" : lost === "inside" ? "inside it" : "inside it, its queue";
  const lines = [
    "# What holds when things die",
    "",
    "Every row was played with real processes under load. Each cell that *holds* means: the service went on, as fresh",
    "connections saw; no request was lost but as the column *may lose* says; one process owned the service afterwards, its",
    "PID file, Unix path and control socket were its own, no other process, descriptor or path was left; the caller was told",
    "what the column says; the survivor could be upgraded, and in the end nothing remained.",
    "",
    `Command: \`npm run faults -- --jobs ${jobs}\`, ${new Date().toISOString().slice(0, 10)}, ` +
    `${process.platform}-${process.arch}, ${cpus().length} cores. ${versions.join("; ")}.`,
    "",
    `| what happens | the caller is told | serves then | may lose | ${
      pairs.map(({ title }) => title.replace("->", "→")).join(" | ")
    } |`,
    `| --- | --- | --- | --- | ${pairs.map(() => "---").join(" | ")} |`,
    ...rows.map((row) =>
      `| ${row.title} | ${told(row)} | ${lost(row)} | ${
        cells.filter((cell) => cell.row === row).map(({ result }) => result).join(" | ")
      } |`
    ),
    "",
    `${cells.filter(({ result }) => result === "holds").length} of ${cells.length} cells hold.`,
    "",
  ];
  const folder = new URL("./results/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL("faults.md", folder), lines.join("\n"));
}
