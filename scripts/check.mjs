// `npm run check`: everything but the tests. All steps run, also after one has failed.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { differences, entryPoints } from "./manifest.mjs";
import { run } from "./run.mjs";
import { discover, root } from "./runtimes.mjs";

const STEP_LIMIT_MS = 180_000;

const deno = discover().present.find(({ name }) => name === "deno")?.executable;
const sources = entryPoints().map(({ source }) => source);

const steps = [
  { name: "exports", check: () => Promise.resolve(differences()) },
  { name: "format", check: () => withDeno("fmt", "--check") },
  { name: "lint", check: () => withDeno("lint") },
  { name: "types (tsc)", check: () => withNode("typescript/bin/tsc", "--noEmit", "-p", root) },
  { name: "types (deno)", check: () => withDeno("check", "--quiet") },
  { name: "docs", check: () => withDeno("doc", "--quiet", "--lint", ...sources) },
  { name: "jsr", check: () => withDeno("publish", "--quiet", "--dry-run", "--allow-dirty") },
  { name: "build", check: () => command(process.execPath, join(root, "scripts/build.mjs")) },
  { name: "npm", check: () => withNode("publint/src/cli.js", "--strict") },
  { name: "npm types", check: packedTypes },
];

const { positionals } = parseArgs({ allowPositionals: true });
const unknown = positionals.find((name) => !steps.some((step) => step.name === name));
if (unknown === undefined) {
  process.exitCode = await main(
    steps.filter(({ name }) => positionals.length === 0 || positionals.includes(name)),
  );
} else {
  console.error(
    `Unknown check "${unknown}"; there are: ${steps.map(({ name }) => name).join(", ")}`,
  );
  process.exitCode = 2;
}

async function main(chosen) {
  const failed = [];
  for (const { name, check } of chosen) {
    const begin = performance.now();
    const problems = await check().catch((error) => [error.stack]);
    console.log(`${problems.length === 0 ? "ok    " : "FAILED"}  ${name}, ${seconds(begin)}`);
    for (const problem of problems) console.log(problem.replace(/^(?=.)/gm, "    "));
    if (problems.length > 0) failed.push(name);
  }
  const which = failed.length > 0 ? ` (${failed.join(", ")})` : "";
  console.log(`checks: ${chosen.length - failed.length} ok, ${failed.length} failed${which}`);
  return failed.length === 0 ? 0 : 1;
}

/** Whether the packed types are found in every way in which ESM is resolved; there is no other build. */
async function packedTypes() {
  const folder = mkdtempSync(join(tmpdir(), "changeover-pack-"));
  try {
    const packing = ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder];
    const failed = await command("npm", ...packing);
    if (failed.length > 0) return failed;
    const [archive = ""] = readdirSync(folder);
    const attw = "@arethetypeswrong/cli/dist/index.js";
    return await withNode(attw, "--profile", "esm-only", "--no-emoji", join(folder, archive));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function withDeno(...args) {
  if (deno) return command(deno, ...args);
  return Promise.resolve([discover().missing.find(({ name }) => name === "deno").why]);
}

function withNode(script, ...args) {
  return command(process.execPath, join(root, "node_modules", script), ...args);
}

async function command(...words) {
  const env = { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
  delete env.FORCE_COLOR;
  const { code, output, timedOut } = await run(words, { cwd: root, env, limitMs: STEP_LIMIT_MS });
  if (timedOut) return [`${output}\nEnded after ${STEP_LIMIT_MS / 1000} s`];
  return code === 0 ? [] : [output || `Exit code ${code}`];
}

function seconds(begin) {
  return `${((performance.now() - begin) / 1000).toFixed(1)} s`;
}
