import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import type { TallyReport } from "../../bench/load/load.ts";
import { startLoad } from "../../bench/load/load.ts";
import type { Generation } from "../../demo/app.ts";
import { pairsOf, tourOf } from "../../demo/tour.ts";
import { judge } from "../../demo/verdict.ts";
import { root } from "../../scripts/runtimes.mjs";
import { isRunning, until } from "../support/chain.ts";
import { current, runtimes } from "../support/runtimes.ts";

// The demo starts every runtime itself, whoever runs this test.
const RUNNER = "node24";
const skip = current().name === RUNNER ? false : `runs on ${RUNNER} only`;
const LIMIT_MS = 60_000;

interface Outcome {
  readonly code: number | null;
  readonly output: string;
  /** What is left in the folder for temporary files. */
  readonly files: readonly string[];
}

test("the demo upgrades through all runtimes, loses nothing and leaves nothing behind", {
  skip,
  timeout: LIMIT_MS,
}, async () => {
  const { code, output, files } = await runDemo();
  assert.equal(code, 0, output);
  assert.match(output, /^PASSED/m);
  assert.match(output, / requests, 0 lost, accounting consistent$/m);
  assert.match(
    output,
    /^ {3}versions only went forward, all processes have ended, no file is left$/m,
  );
  assert.ok(!output.includes("\u001b"), "no colours and no redrawing where there is no terminal");

  // Scene 1: v0.0.1 ..., v0.0.2 ..., with nothing in between.
  const scene = output.slice(output.indexOf("Scene 1"), output.indexOf("Scene 2"));
  const answers = [...scene.matchAll(/^ {3}(?:v0\.0\.\d ?|LOST {3})+$/gm)]
    .flatMap(([row]) => row.trim().split(/\s+/));
  assert.ok(answers.length >= 20, output);
  assert.deepEqual([...new Set(answers)], ["v0.0.1", "v0.0.2"]);

  // generation, version, runtime and its version, process, requests, upgrade
  const rows = [
    ...output.matchAll(/^ +(\d+) +(v\S+) +(\w+) \S+ +(\d+) +([\d,]+) +(?:-|\S+ ms)$/gm),
  ];
  const tour = tourOf(runtimes, true);
  assert.equal(rows.length, tour.length, output);
  for (const [index, [, generation, version, runtime, pid, requests]] of rows.entries()) {
    assert.equal(generation, `${index + 1}`);
    assert.equal(version, `v0.0.${index + 1}`);
    assert.equal(runtime?.toLowerCase(), tour[index]?.runtime);
    assert.notEqual(requests, "0");
    assert.ok(!isRunning(Number(pid)), `process ${pid} has ended`);
  }
  assert.deepEqual(files, []);
});

test("the demo leaves nothing behind when it is interrupted during an upgrade", {
  skip,
  timeout: LIMIT_MS,
}, async () => {
  const pids: number[] = [];
  const { code, output, files } = await runDemo((line, stop) => {
    const pid = /SIGHUP to process (\d+)/.exec(line)?.[1];
    if (pid === undefined) return;
    pids.push(Number(pid));
    stop();
  });
  assert.equal(code, 130, output);
  assert.match(output, /interrupted by SIGINT/);
  assert.equal(pids.length, 1, output);
  await until("the server has ended", () => pids.every((pid) => !isRunning(pid)));
  assert.deepEqual(files, []);
});

test("the tour of the demo has every pair of runtimes once", () => {
  const kinds = new Set(runtimes.map(({ runtime }) => runtime)).size;
  const tour = tourOf(runtimes, false);
  assert.equal(pairsOf(tour), kinds === 3 ? tour.length - 1 : pairsOf(tour));
  assert.ok(kinds < 3 || pairsOf(tour) === 9);
});

test("the verdict of the demo names losses, backward steps, silent generations and leftovers", async () => {
  const quiet = await startLoad({ target: { port: 1 }, maxMs: 1, proberMs: 0 }).stop();
  const well: TallyReport = {
    ...quiet,
    sent: 20,
    answered: 20,
    identities: [
      { identity: "1", answers: 10, firstMs: 0, lastMs: 100 },
      { identity: "2", answers: 10, firstMs: 100, lastMs: 200 },
    ],
  };
  const generations = [generation(1), { ...generation(2), heardMs: 1105 }];
  const problems = (tally: TallyReport, left: readonly string[] = []): readonly string[] =>
    judge(generations, [{ tally, beganMs: 1000 }], left).problems;

  assert.deepEqual(problems(well), []);
  assert.match(
    problems({ ...well, answered: 18, lost: 2, lossKinds: { "refused/fresh/x": 2 } }).join(),
    /2 of 20 requests were lost: 2 refused/,
  );
  assert.deepEqual(
    problems({ ...well, wentBack: { count: 3, maxLagMs: 4 } }),
    [],
    "while the upgrade was under way both accept",
  );
  assert.match(
    problems({ ...well, wentBack: { count: 3, maxLagMs: 40 } }).join(),
    /backwards.*3 later connections, by up to 40 ms/,
  );
  assert.match(problems({ ...well, inconsistencies: ["a: 1 and 2"] }).join(), /not consistent/);
  assert.match(
    problems({ ...well, identities: well.identities.slice(0, 1) }).join(),
    /generation 2 has answered nothing/,
  );
  assert.deepEqual(problems(well, ["still running: 7"]), ["still running: 7"]);
});

function generation(number: number): Generation {
  return {
    number,
    pid: number,
    version: `v0.0.${number}`,
    runtime: "node",
    runtimeVersion: "24.0.0",
    port: 1,
    upgradeMs: undefined,
    heardMs: 1000,
  };
}

async function runDemo(
  onLine: (line: string, stop: () => void) => void = () => {},
): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), "co-demo-"));
  try {
    const child = spawn(process.execPath, [
      join(root, "scripts/newest_node.mjs"),
      "demo/main.ts",
      "--short",
    ], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    const limit = setTimeout(() => child.kill("SIGTERM"), LIMIT_MS - 10_000);
    let output = "";
    let seen = 0;
    child.stderr.setEncoding("utf8").on("data", (text: string) => output += text);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      const lines = output.split("\n");
      for (; seen < lines.length - 1; seen++) onLine(lines[seen]!, () => child.kill("SIGINT"));
    });
    const code = await ended;
    clearTimeout(limit);
    return { code, output, files: readdirSync(folder) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
