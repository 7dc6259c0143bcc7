/**
 * Writes the page, the plots and README's figures from the results: `node bench/report/main.ts --results FOLDER [--out FOLDER]`.
 * With `--out` everything goes there, and README is not touched.
 *
 * @module
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { root } from "../../scripts/runtimes.mjs";
import { draw } from "./draw.ts";
import { between } from "./markdown.ts";
import { pageOf, readmeOf } from "./page.ts";
import { plotsOf } from "./plots.ts";
import { readResults } from "./results.ts";

const BEGIN = "<!-- bench:begin, written by `npm run bench` -->";
const END = "<!-- bench:end -->";

const { values } = parseArgs({
  options: {
    results: { type: "string", default: join(root, "bench/results") },
    out: { type: "string" },
    notes: { type: "string" }, // for parts; a report owes nothing
  },
});

const docs = values.out ?? join(root, "docs");
mkdirSync(join(docs, "benchmarks"), { recursive: true });
const results = readResults(values.results);
const drawn: string[] = [];
for (const [name, specification] of Object.entries(plotsOf(results))) {
  const svg = await draw(specification);
  if (svg === undefined) {
    console.log(`  no plots: vega and vega-lite are not installed ("npm ci")`);
    break;
  }
  writeFileSync(join(docs, "benchmarks", `${name}.svg`), svg);
  drawn.push(name);
}
writeFileSync(join(docs, "benchmarks.md"), pageOf(results, drawn));
const short = readmeOf(results, drawn);
if (values.out === undefined) {
  const readme = join(root, "README.md");
  writeFileSync(readme, between(readFileSync(readme, "utf8"), BEGIN, END, short));
} else writeFileSync(join(docs, "readme.md"), `${short}\n`);
console.log(`  wrote benchmarks.md and ${drawn.length} plots: ${drawn.join(", ")}`);
process.exitCode = 0;
