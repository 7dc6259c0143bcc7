// `npm test`: the one suite on every runtime. Each file gets a process of its own on each runtime (Node's runner
// does that anyway), so that a crash or a hang costs one file and is reported under its name.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { countTests } from "./junit.mjs";
import { run } from "./run.mjs";
import { discover, names, root } from "./runtimes.mjs";

const FILE_LIMIT_MS = 240_000;
const RUNTIME_LIMIT_MS = 600_000;
const TOTAL_LIMIT_MS = 1_050_000;

const JOBS = 3;

// A file whose first line says `// Runs on: node26, deno, bun` is left out elsewhere: what it shows does not depend
// on the version of Node, and the suite is to end in time. `--everywhere` runs it on all.
const RUNS_ON = /^\/\/ Runs on: (.+)$/;

const RINGS = ["unit", "model", "contract", "package", "e2e", "faults"];

const USAGE = `Usage: npm test -- [options] [file or folder or part of a path]...

  --only NAMES    comma-separated: ${names.join(", ")}; "node" is every Node
  --ring NAMES    comma-separated: ${RINGS.join(", ")}; tests directly in tests/ belong to unit
  --jobs N        files at a time; default ${JOBS}: they wait more than they compute
  --everywhere    also files that say "// Runs on:" other runtimes
  --verbose       print what the tests print, not only that of files that fail`;

const started = performance.now();
process.exitCode = await main();

async function main() {
  let values, positionals;
  try {
    ({ values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        only: { type: "string" },
        ring: { type: "string" },
        jobs: { type: "string", default: String(JOBS) },
        everywhere: { type: "boolean", default: false },
        verbose: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    return misuse(error.message);
  }
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const only = values.only?.split(",");
  const rings = values.ring?.split(",") ?? RINGS;
  const unknown = only?.find((name) => name !== "node" && !names.includes(name)) ??
    rings.find((name) => !RINGS.includes(name));
  if (unknown !== undefined) return misuse(`Unknown name "${unknown}"`);

  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1) {
    return misuse(`--jobs ${values.jobs} is no number of files`);
  }
  const files = testFiles(rings, positionals);
  if (files.length === 0) return misuse("No test file matches");

  const wanted = ({ name, runtime }) => !only || only.includes(name) || only.includes(runtime);
  const { present, missing } = discover();
  const total = { passed: 0, failed: 0 };
  for (const { name, why } of missing.filter(wanted)) {
    // For this platform the packages exist, so that one is missing means a broken installation.
    const broken = process.platform === "linux" && process.arch === "x64";
    console.log(`${name}: ${broken ? "FAILED, " : "skipped, "}${why}`);
    if (broken) total.failed++;
  }
  const report = mkdtempSync(join(tmpdir(), "changeover-test-"));
  try {
    for (const runtime of present.filter(wanted)) {
      const here = values.everywhere ? files : files.filter((file) => runsOn(file, runtime.name));
      // What was asked for runs on other runtimes.
      if (here.length === 0) continue;
      const counts = await suite(runtime, here, { report, verbose: values.verbose, jobs });
      total.passed += counts.passed;
      total.failed += counts.failed;
    }
  } finally {
    rmSync(report, { recursive: true, force: true });
  }
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
}

function misuse(message) {
  console.error(`${message}\n\n${USAGE}`);
  return 2;
}

function testFiles(rings, filters) {
  const found = RINGS.flatMap((ring) => rings.includes(ring) ? filesOf(ring) : [])
    .map((path) => relative(root, path));
  if (filters.length === 0) return found;
  const paths = filters.map((filter) => relative(root, resolve(filter)));
  return found.filter((file) =>
    filters.some((filter) => file.includes(filter)) ||
    paths.some((path) => file === path || file.startsWith(`${path}/`))
  );
}

function runsOn(file, name) {
  const [line] = readFileSync(join(root, file), "utf8").split("\n", 1);
  const listed = RUNS_ON.exec(line)?.[1].split(",").map((word) => word.trim());
  const wrong = listed?.find((word) => !names.includes(word));
  if (wrong !== undefined) {
    throw new Error(`${file} runs on "${wrong}", which is no runtime of the tests`);
  }
  return listed === undefined || listed.includes(name);
}

function filesOf(ring) {
  const here = ring === "unit" ? testsIn(join(root, "tests"), false) : [];
  return [...here, ...testsIn(join(root, "tests", ring), true)];
}

function testsIn(folder, deep) {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
  return entries.sort((a, b) => a.name < b.name ? -1 : 1).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      return deep && entry.name !== "node_modules" ? testsIn(path, true) : [];
    }
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}

async function suite(runtime, files, { report, verbose, jobs }) {
  const begin = performance.now();
  const end = Math.min(begin + RUNTIME_LIMIT_MS, started + TOTAL_LIMIT_MS);
  const version = await run([runtime.executable, "--version"], { cwd: root, limitMs: 20_000 });
  console.log(`\n${runtime.name} (${version.output.split("\n")[0]})`);

  const sum = { passed: 0, failed: 0, skipped: 0 };
  const waiting = [...files];
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const limitMs = Math.min(FILE_LIMIT_MS, end - performance.now());
      if (limitMs <= 0) {
        sum.failed++;
        console.log(`  FAILED  ${file}: not run, the time for ${runtime.name} is over`);
        continue;
      }
      const counts = await testFile(runtime, file, { report, limitMs, verbose });
      sum.passed += counts.passed;
      sum.failed += counts.failed;
      sum.skipped += counts.skipped;
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  if (sum.passed + sum.failed + sum.skipped === 0) {
    sum.failed++;
    console.log(`  FAILED  there is no test`);
  }
  console.log(`  ${runtime.name}: ${summary(sum)}, ${seconds(performance.now() - begin)}`);
  return sum;
}

async function testFile(runtime, file, { report, limitMs, verbose }) {
  const xml = join(report, `${runtime.name}-${file.replaceAll("/", "-")}.xml`);
  const result = await run([runtime.executable, ...testArguments(runtime.runtime, file, xml)], {
    cwd: root,
    env: testEnvironment(report),
    limitMs,
    live: verbose,
  });
  const counts = countTests(readIfThere(xml), file);
  const remarks = [];
  if (result.timedOut) remarks.push(`ended after ${seconds(limitMs)}`);
  if (result.left.length > 0) remarks.push(`left behind: ${result.left.join("; ")}`);
  // Hooks, errors outside of tests and files that do not load fail a run without a failed test in the report.
  if (result.code !== 0 && counts.failed === 0 && remarks.length === 0) {
    remarks.push(`exit code ${result.code}`);
  }
  counts.failed += remarks.length;

  const word = counts.failed > 0 ? "FAILED" : "ok    ";
  console.log(
    `  ${word}  ${[`${file}: ${summary(counts)}, ${seconds(result.ms)}`, ...remarks].join("; ")}`,
  );
  if (counts.failed > 0 && !verbose) console.log(result.output.replace(/^(?=.)/gm, "    "));
  return counts;
}

function testArguments(runtime, file, xml) {
  switch (runtime) {
    case "node":
      return [
        "--test",
        "--test-reporter=spec",
        "--test-reporter-destination=stdout",
        "--test-reporter=junit",
        `--test-reporter-destination=${xml}`,
        file,
      ];
    case "deno": // types are checked by `npm run check`
      return ["test", "-A", "--no-check", `--junit-path=${xml}`, file];
    case "bun":
      return [
        "test",
        "--isolate",
        "--timeout=60000",
        "--reporter=junit",
        `--reporter-outfile=${xml}`,
        `./${file}`,
      ];
  }
}

// Every generation of every fixture is a new process: with Node's compile cache it does not strip types from the
// same hundred files again (0.43 s of CPU without, 0.10 s with it, on Node 24 and 26).
function testEnvironment(folder) {
  const env = {
    ...process.env,
    NO_COLOR: "1",
    DENO_NO_UPDATE_CHECK: "1",
    NODE_COMPILE_CACHE: join(folder, "compile-cache"),
  };
  delete env.FORCE_COLOR;
  delete env.NODE_TEST_CONTEXT; // would make Node's runner believe that it runs inside another one
  delete env.CHANGEOVER;
  return env;
}

function readIfThere(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function summary({ passed, failed, skipped }) {
  const skips = skipped > 0 ? `, ${skipped} skipped` : "";
  return `${passed} passed, ${failed} failed${skips}`;
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}
