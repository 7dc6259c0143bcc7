import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Chain, serverScript } from "../support/chain.ts";
import { current } from "../support/runtimes.ts";

// `deno compile` downloads its run-time part, so that it cannot be built from packages alone.
const runtime = current();
const skip = runtime.runtime === "bun" ? false : "only Bun compiles without a download";

test("a compiled executable starts itself again, with its arguments", {
  skip,
  timeout: 60_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const program = join(folder, "app");
  const built = spawnSync(
    runtime.executable,
    ["build", "--compile", serverScript, "--outfile", program],
    { encoding: "utf8" },
  );
  assert.equal(built.status, 0, built.stderr);
  const chain = new Chain({
    runtime: { ...runtime, command: (_script, args = []) => [program, ...args] },
    args: ["an argument", ""],
  });
  t.after(() => chain.end());
  const { pid } = await chain.event("ready", 1);
  process.kill(pid, "SIGHUP");
  const second = await chain.event("ready", 2);
  assert.match((await chain.get()).text, new RegExp(`^2 bun ${second.pid}$`));
  assert.deepEqual(readFileSync(`/proc/${second.pid}/cmdline`, "utf8").split("\0"), [
    program,
    "an argument",
    "",
    "",
  ]);
  assert.equal((await chain.event("drained", 1)).cut, 0);
});
