// Runs on: node26
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import { TimelineRecorder } from "../../bench/client/timeline.ts";
import { frameOf, parseFrame } from "../../bench/load/web_socket_frame.ts";
import { parseStat } from "../../bench/measure/processes.ts";
import { rounds } from "../../bench/measure/rounds.ts";
import { cpuIn, memoryPeak } from "../../bench/measure/sampler.ts";
import {
  inTurn,
  line,
  median,
  perHundredThousand,
  ratios,
  spread,
} from "../../bench/measure/statistics.ts";
import { readOptions, usage } from "../../bench/options.ts";
import { GRACE_SECONDS, PARTS } from "../../bench/parts.ts";
import type { PeerRun, PhaseResult } from "../../bench/parts/peers.ts";
import { figuresOf } from "../../bench/report/figures.ts";
import { between, ratio, short, table, withSpread } from "../../bench/report/markdown.ts";
import { pageOf, readmeOf } from "../../bench/report/page.ts";
import { plotsOf } from "../../bench/report/plots.ts";
import type { PeerRow, Results } from "../../bench/report/results.ts";

describe("statistics", () => {
  test("a median is the middle value, or the mean of the two in the middle", () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.ok(Number.isNaN(median([])));
  });

  test("a spread leaves out what was not measured", () => {
    assert.deepEqual(spread([2, undefined, NaN, 8, null, 5]), { n: 3, median: 5, min: 2, max: 8 });
    assert.equal(spread([]).n, 0);
  });

  test("ratios are those of neighbours, not of medians", () => {
    assert.deepEqual(ratios([2, 9], [1, 3]), [2, 3]);
    assert.throws(() => ratios([1], []), RangeError);
  });

  test("a line through points has their slope, and says how well it fits", () => {
    assert.deepEqual(line([[0, 1], [1, 3], [2, 5]]), { slope: 2, intercept: 1, r2: 1 });
    assert.ok(line([[0, 0], [1, 5], [2, 0], [3, 5]]).r2 < 0.5);
    assert.throws(() => line([[1, 1], [1, 2]]), RangeError);
  });

  test("losses per 100,000 of nothing are not known", () => {
    assert.equal(perHundredThousand(3, 200_000), 1.5);
    assert.ok(Number.isNaN(perHundredThousand(0, 0)));
  });

  test("rounds go A B, B A by turns", () => {
    assert.deepEqual([0, 1, 2].map((round) => inTurn(["A", "B"], round).join("")), [
      "AB",
      "BA",
      "AB",
    ]);
  });
});

describe("rounds", () => {
  const options = {
    rows: ["a", "b"],
    name: (row: string) => row,
    log: () => {},
    keep: () => {},
    untilMs: Infinity,
  };

  test("a row that fails is given up after two failures, and the others go on", async () => {
    const asked: string[] = [];
    const all = await rounds({
      ...options,
      runs: 4,
      measure: (row) => {
        asked.push(row);
        if (row === "a") throw new Error("no");
        return Promise.resolve(1);
      },
    });
    assert.equal(asked.join(""), "abbabb");
    assert.deepEqual(all.map(({ runs, failures }) => [runs.length, failures.length]), [
      [0, 2],
      [4, 0],
    ]);
  });

  test("no run begins after the part's time, and what was measured is kept", async () => {
    let kept = 0;
    const all = await rounds({
      ...options,
      runs: 3,
      untilMs: -1,
      keep: () => kept++,
      measure: () => Promise.resolve(1),
    });
    assert.deepEqual(all.map(({ runs }) => runs.length), [0, 0]);
    await rounds({ ...options, runs: 2, keep: () => kept++, measure: () => Promise.resolve(1) });
    assert.equal(kept, 4);
  });
});

test("a process's line in /proc is read whatever its name is", () => {
  const fields = ["S", "7", "42", "43", ...Array(7).fill("0"), "12", "3", "0"];
  assert.deepEqual(parseStat(`99 (a ) b) ${fields.join(" ")}`), {
    pid: 99,
    parent: 7,
    session: 43,
    cpuMs: 150,
    ended: false,
  });
});

test("CPU time between two looks is taken in proportion, and memory at its peak", () => {
  const samples = [0, 100, 200].map((atMs, index) => ({
    atMs,
    cpuMs: index * 50,
    memoryMiB: [10, 30, 20][index]!,
    processes: 1,
  }));
  assert.equal(cpuIn(samples, [50, 150]), 50);
  assert.equal(cpuIn(samples, [0, 1000]), 100);
  assert.equal(memoryPeak(samples, [0, 200]), 30);
  assert.equal(memoryPeak(samples, [150, 200]), 20);
});

test("a timeline counts answers in slices, by who gave them, in lists of one length", () => {
  const recorder = new TimelineRecorder(100, 1000);
  recorder.record("old", 1010);
  recorder.record("old", 1090);
  recorder.record("new", 1350);
  assert.deepEqual(recorder.report(), {
    beginsAt: 1000,
    sliceMs: 100,
    answers: { old: [2, 0, 0, 0], new: [0, 0, 0, 1] },
    firstAt: { old: 1010, new: 1350 },
  });
});

test("frames of servers are read when they are whole, and those of clients are masked", () => {
  const whole = Buffer.from([0x81, 2, 104, 105, 0x88, 2, 3, 0xf4]);
  assert.equal(parseFrame(whole.subarray(0, 3)), undefined);
  const first = parseFrame(whole);
  assert.equal(first?.payload.toString(), "hi");
  assert.equal(parseFrame(whole.subarray(first!.length))?.payload.readUInt16BE(), 1012);
  const masked = frameOf(1, Buffer.from("hello"));
  assert.equal(masked[1], 0x80 | 5);
  const key = masked.subarray(2, 6);
  assert.equal(
    Buffer.from(masked.subarray(6).map((byte, index) => byte ^ key[index % 4]!)).toString(),
    "hello",
  );
});

describe("the command line", () => {
  const parts = PARTS.map(({ name }) => name);

  test("runs everything five times by default, and once when it is to be quick", () => {
    assert.equal(readOptions([], parts)?.runs, 5);
    assert.equal(readOptions(["--quick"], parts)?.runs, 1);
    assert.deepEqual(readOptions(["--only", "flip, report"], parts)?.only, ["flip", "report"]);
    assert.equal(readOptions(["--help"], parts), undefined);
    for (const name of parts) assert.match(usage(PARTS), new RegExp(name));
  });

  test("a part that does not exist and a number that is none are refused with a word", () => {
    assert.throws(() => readOptions(["--only", "all"], parts), /there are: flip/);
    assert.throws(() => readOptions(["--runs", "0"], parts), /whole number/);
  });

  test("all parts together stay under half an hour", () => {
    const seconds = PARTS.reduce((sum, { softSeconds }) => sum + softSeconds, 0);
    assert.ok(seconds + GRACE_SECONDS < 28 * 60, `${seconds}`);
  });
});

describe("numbers", () => {
  test("are short, and a spread is shown when there is one", () => {
    assert.deepEqual([0, 8, 1234.5, 123.4, 12.34, 1.234, 0.01234, NaN].map(short), [
      "0",
      "8",
      "1,235",
      "123",
      "12.3",
      "1.23",
      "0.012",
      "–",
    ]);
    assert.equal(withSpread(spread([1, 2, 4]), ratio), "2.00 (1.00 to 4.00)");
    assert.equal(withSpread(spread([2])), "2");
    assert.equal(withSpread(spread([])), "–");
  });

  test("a table has one rule under its head, and its cells hold no bar", () => {
    assert.equal(table(["", "n"], [["a|b", "1"]]), "|  | n |\n| --- | --: |\n| a\\|b | 1 |");
  });

  test("only what stands between the markers is replaced", () => {
    assert.equal(between("a<b>x<e>c", "<b>", "<e>", "new"), "a<b>\nnew\n<e>c");
    assert.throws(() => between("nothing", "<b>", "<e>", "new"), /missing/);
  });
});

describe("the report", () => {
  const latency = { count: 1, p50: 1, p99: 2, p999: 3, max: 4 };
  const window = {
    label: "steady",
    marks: 1,
    durationMs: 1,
    requests: 1,
    answered: 1,
    lost: 0,
    latency,
  };
  const phase = (lost: number, messages: number): PhaseResult => ({
    flips: 2,
    populations: {
      keepAlive: { sent: 100_000, lost },
      webSocket: { sent: 1000, lost: messages },
    },
    lossKinds: {},
    windows: [window, { ...window, label: "flip", latency: { ...latency, p99: 5 } }],
    webSocketWindows: [],
    rps: 1,
    consistent: true,
    firstAnswerMs: [70, 90],
  });
  const run = (lost: number, messages: number): PeerRun => ({
    saturated: phase(lost, messages),
    paced: phase(0, 0),
    memory: { steadyMiB: 50, peakMiB: 75 },
    flipCpuMs: 100,
  });
  const row = (name: string, ours: boolean, runs: PeerRun[]): PeerRow => ({
    name,
    label: name,
    ours,
    practice: "asks",
    source: "https://example.com/",
    failures: [],
    runs,
  });
  const about = {
    command: "npm run bench",
    date: "2026-01-02T00:00:00Z",
    machine: "a machine",
    loadAverage: 0.1,
    client: "a client",
    versions: { node26: "v26" },
    quick: false,
    wantedRuns: 3,
  };
  const results: Results = {
    peers: {
      ...about,
      clients: { keepAlive: 1, oneShot: 1, post: 1, webSocket: 1 },
      thinkMs: 20,
      timeoutMs: 5000,
      skipped: { nginx: "nginx is not installed" },
      rows: [
        row("changeover-x", true, [run(0, 0), run(0, 4), run(0, 2)]),
        row("other", false, [run(8, 0), run(6, 0), run(10, 0)]),
      ],
    },
  };

  test("losses are per flip and per 100,000, messages apart from requests", () => {
    const ours = figuresOf(results.peers!.rows[0]!);
    assert.equal(ours.lostPerFlip.median, 0);
    assert.deepEqual(ours.messagesPerFlip, { n: 3, median: 1, min: 0, max: 2 });
    assert.equal(ours.perPopulation["webSocket"], 100);
    assert.equal(ours.perPopulation["oneShot"], undefined);
    const other = figuresOf(results.peers!.rows[1]!);
    assert.deepEqual(other.lostPerFlip, { n: 3, median: 4, min: 3, max: 5 });
    assert.equal(other.flips, 12);
    assert.equal(other.p99Ratio.median, 2.5);
    assert.equal(other.memoryRatio.median, 1.5);
  });

  test("the page names commands, versions, what was skipped, and where others are better", () => {
    const page = pageOf(results, ["lost"]);
    for (
      const text of [
        "npm run bench",
        "node26 v26",
        "nginx is not installed",
        "benchmarks/lost.svg",
        "4 (3 to 5)",
        "WebSocket messages lost per flip, saturated: best of the others 0 (other)",
      ]
    ) assert.ok(page.includes(text), text);
    assert.ok(!page.includes("undefined") && !page.includes("NaN"));
  });

  test("README gets one row for ours and one for each other way", () => {
    const short = readmeOf(results, ["flip"]);
    assert.match(short, /\*\*changeover\*\* \(1 server on Node, Deno and Bun\) \| 0 \| 1 \| 2.50/);
    assert.match(short, /\| other \| 4 \| 0 \|/);
    assert.ok(short.split("\n").length < 20);
  });

  test("without any result it says so", () => {
    assert.match(pageOf({}, []), /Nothing was measured yet/);
    assert.match(readmeOf({}, []), /Nothing was measured yet/);
    assert.deepEqual(plotsOf({}), {});
  });

  test("a row whose runs all failed is named and not drawn", () => {
    const failed: Results = {
      peers: {
        ...results.peers!,
        rows: [results.peers!.rows[0]!, { ...row("broken", false, []), failures: ["it ended"] }],
      },
    };
    assert.match(pageOf(failed, []), /Failed runs of broken: 1 \(it ended\)/);
    const { lost } = plotsOf(failed) as { lost: { data: { values: readonly unknown[] } } };
    assert.equal(lost.data.values.length, 1);
  });
});
