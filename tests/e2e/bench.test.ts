// Runs on: node26
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../../bench/bench.ts", import.meta.url));

/** Runs the benchmark, and resolves with its exit code and output. */
function bench(...args: string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--no-warnings", script, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => output += text);
    }
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output }));
  });
}

test(
  "npm run bench -- --quick shows that a part and the report work",
  { timeout: 120_000 },
  async () => {
    const results = mkdtempSync(join(tmpdir(), "changeover-bench-test-"));
    try {
      const { code, output } = await bench(
        ...["--quick", "--only", "flip,report", "--rows", "node26", "--results", results],
      );
      assert.equal(code, 0, output);
      const { rows, quick, command } = JSON.parse(readFileSync(join(results, "flip.json"), "utf8"));
      assert.equal(quick, true);
      assert.match(command, /^npm run bench -- --quick/);
      const [row] = rows;
      assert.equal(row.name, "node26");
      const [run] = row.runs;
      assert.equal(run.consistent, true);
      // Whether something is lost is for other tests to say: this one may run on a machine that stalls.
      assert.ok(run.sent > 0 && run.answers.length === 2, JSON.stringify(run));
      assert.match(
        readFileSync(join(results, "pages/benchmarks.md"), "utf8"),
        /figures mean nothing/,
      );
    } finally {
      rmSync(results, { recursive: true, force: true });
    }
  },
);

test("npm run bench refuses a part that does not exist, and names those that do", async () => {
  const { code, output } = await bench("--only", "everything");
  assert.equal(code, 2);
  assert.match(output, /there are: flip, peers, .*report/);
});
