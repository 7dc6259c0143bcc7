/**
 * Runs one part of the benchmark in a process of its own: `node bench/part.ts NAME --runs N --out FILE [--quick]`.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { cleanUp, cleanUpOnSignals, noteIn } from "./measure/cleanup.ts";
import { PARTS } from "./parts.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "5" },
    out: { type: "string" },
    quick: { type: "boolean", default: false },
    rows: { type: "string", default: "" },
    about: { type: "string", default: "{}" },
    notes: { type: "string" },
  },
});
const entry = PARTS.find(({ name }) => name === positionals[0]);
if (entry === undefined || values.out === undefined) {
  throw new TypeError("Cannot run a part: its name or --out is missing");
}
const out = values.out;
const about = JSON.parse(values.about) as object;

noteIn(values.notes);
cleanUpOnSignals();
try {
  const part = await entry.load();
  await part({
    runs: Number(values.runs),
    quick: values.quick,
    rows: values.rows.split(",").filter((name) => name !== ""),
    untilMs: performance.now() + entry.softSeconds * 1000,
    keep: (result) => writeFileSync(out, JSON.stringify({ ...about, ...result }, null, 1) + "\n"),
    log: (text) => console.log(`  ${text}`),
  });
} catch (error) {
  console.error(error instanceof Error ? error.stack : error);
  process.exitCode = 1;
} finally {
  await cleanUp();
}
