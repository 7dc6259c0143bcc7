/**
 * `npm run bench`: runs every part in a process of its own, one after the other, then writes pages and plots. A part that
 * fails or takes too long is reported, and the rest goes on.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { root } from "../scripts/runtimes.mjs";
import { about, versions } from "./machine.ts";
import { type BenchOptions, readOptions, REPORT, usage } from "./options.ts";
import { GRACE_SECONDS, PARTS } from "./parts.ts";
import { runPart } from "./run_part.ts";

const BUILD_LIMIT_MS = 120_000;
const REPORT_LIMIT_MS = 120_000;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  let options: BenchOptions | undefined;
  try {
    options = readOptions(args, PARTS.map(({ name }) => name));
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage(PARTS)}`);
    return 2;
  }
  if (options === undefined) {
    console.log(usage(PARTS));
    return 0;
  }
  if (process.platform !== "linux") {
    console.error("Cannot measure here: it reads /proc, so it needs Linux");
    return 1;
  }
  const begun = performance.now();
  const temporary = options.quick && options.results === undefined;
  const results = temporary
    ? mkdtempSync(join(tmpdir(), "changeover-bench-quick-"))
    : resolve(options.results ?? join(root, "bench/results"));
  mkdirSync(results, { recursive: true });
  const built = mkdtempSync(join(tmpdir(), "changeover-bench-build-"));
  try {
    const failed = await runAll(options, args, results, built);
    const minutes = ((performance.now() - begun) / 60_000).toFixed(1);
    console.log(
      failed.length === 0
        ? `bench: done in ${minutes} minutes`
        : `bench: FAILED: ${failed.join(", ")}; done in ${minutes} minutes`,
    );
    return failed.length === 0 ? 0 : 1;
  } finally {
    rmSync(built, { recursive: true, force: true });
    if (temporary) rmSync(results, { recursive: true, force: true });
  }
}

async function runAll(
  options: BenchOptions,
  args: readonly string[],
  results: string,
  built: string,
): Promise<string[]> {
  const { only, runs, quick, rows } = options;
  const command = `npm run bench${args.length === 0 ? "" : ` -- ${args.join(" ")}`}`;
  const parts = PARTS.filter(({ name }) => only.includes(name));
  const failed: string[] = [];
  if (parts.length > 0) {
    // What npm's users get is measured, not the sources.
    // In a folder of its own, because somebody may be using dist/.
    const out = join(built, "dist");
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(root, "scripts/build.mjs"), "--out", out],
      { cwd: root, encoding: "utf8", timeout: BUILD_LIMIT_MS },
    );
    if (status !== 0) {
      console.error(stdout + stderr);
      return ["build"];
    }
    writeFileSync(join(built, "package.json"), JSON.stringify({ type: "module" }));
    process.env["BENCH_BUILD"] = join(out, "mod.js");
  }
  const found = parts.length > 0 ? versions() : {};
  for (const { name, what, softSeconds } of parts) {
    console.log(`${name}: ${what}`);
    const more = about(command, { versions: found, quick, runs });
    const { ok, why, interrupted } = await runPart(
      scriptOf("./part.ts"),
      [
        ...[name, "--out", join(results, `${name}.json`), "--about", JSON.stringify(more)],
        ...["--runs", String(runs), "--rows", rows.join(",")],
        ...(quick ? ["--quick"] : []),
      ],
      (softSeconds + GRACE_SECONDS) * 1000,
    );
    if (!ok) {
      console.log(`  FAILED: ${why}`);
      failed.push(name);
    }
    if (interrupted) return failed;
  }
  if (only.includes(REPORT)) {
    console.log(`${REPORT}: pages and plots`);
    // Figures that mean nothing do not go into the pages.
    const out = quick || options.results !== undefined ? ["--out", join(results, "pages")] : [];
    const { ok, why } = await runPart(
      scriptOf("./report/main.ts"),
      ["--results", results, ...out],
      REPORT_LIMIT_MS,
    );
    if (!ok) {
      console.log(`  FAILED: ${why}`);
      failed.push(REPORT);
    }
  }
  return failed;
}

function scriptOf(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}
