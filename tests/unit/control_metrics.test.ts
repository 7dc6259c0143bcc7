// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { failure } from "../../src/control/answer.ts";
import { metricsText } from "../../src/control/metrics.ts";
import { ERROR_CODES, UpgradeError } from "../../src/errors.ts";
import type { UpgraderStatus } from "../../src/report.ts";
import { DURATION_BOUNDS, Totals } from "../../src/totals.ts";

const drain = (connections: number, cut: number) => ({
  connections,
  cut,
  served: 0,
  closedIdle: 0,
  closedPolitely: 0,
  durationMs: 1,
  servers: [],
});

const status: UpgraderStatus = {
  generation: 3,
  pid: 4711,
  runtime: "node",
  version: '1"\\\n',
  state: "serving",
  sockets: [],
  connections: 7,
  drain: null,
  draining: [{ pid: 4710, generation: 2 }],
  lastReport: null,
  history: [],
};

describe("counters", () => {
  test("go on from what the parent told, also when it tells more later", () => {
    const parent = new Totals();
    parent.failed("ERR_SPAWN");
    parent.upgraded(700);
    const child = new Totals();
    child.inherit({ ...parent.counts });
    child.failed("ERR_SPAWN");
    child.upgraded(70_000);
    parent.drained(drain(10, 4));
    child.inherit(JSON.parse(JSON.stringify(parent.counts)));
    assert.deepEqual(child.counts, {
      upgrades: { ERR_SPAWN: 2, upgraded: 2 },
      durations: DURATION_BOUNDS.map((bound) => bound === 1 ? 1 : 0),
      seconds: 70.7,
      drained: 6,
      cut: 4,
    });
  });

  test("take nothing from a parent that is no count", () => {
    const totals = new Totals();
    totals.inherit({ upgrades: { a: "b", c: -1 }, durations: "no", seconds: null, drained: NaN });
    totals.inherit({ upgrades: null, durations: [1, "2"], cut: Infinity });
    assert.deepEqual(totals.counts, {
      upgrades: {},
      durations: DURATION_BOUNDS.map((_bound, index) => index === 0 ? 1 : 0),
      seconds: 0,
      drained: 0,
      cut: 0,
    });
  });
});

describe("metrics", () => {
  const totals = new Totals();
  for (const ms of [40, 700, 800, 90_000]) totals.upgraded(ms);
  totals.failed("ERR_CHILD_EXITED");
  totals.drained(drain(5, 2));
  const text = metricsText({ status, totals: totals.counts, bounds: DURATION_BOUNDS });

  test("are Prometheus text: each with help and type, each sample of a form", () => {
    assert.ok(text.endsWith("\n"));
    const names = new Set<string>();
    for (const line of text.trimEnd().split("\n")) {
      const [, name] = /^# (?:HELP|TYPE) (\w+) .+$/.exec(line) ?? [];
      if (name !== undefined) {
        names.add(name);
        continue;
      }
      const [, sample = ""] =
        /^(\w+)(?:\{\w+="(?:[^"\\]|\\.)*"(?:,\w+="(?:[^"\\]|\\.)*")*\})? \d+(?:\.\d+)?$/.exec(
          line,
        ) ?? [];
      assert.ok(names.has(sample.replace(/_(?:bucket|sum|count)$/, "")) || names.has(sample), line);
    }
  });

  test("tell what was counted and what is", () => {
    for (
      const line of [
        'changeover_info{pid="4711",runtime="node",version="1\\"\\\\\\n",state="serving"} 1',
        "changeover_generation 3",
        'changeover_upgrades_total{result="upgraded"} 4',
        'changeover_upgrades_total{result="ERR_CHILD_EXITED"} 1',
        'changeover_upgrades_total{result="ERR_UPGRADE_TIMEOUT"} 0',
        'changeover_upgrade_duration_seconds_bucket{le="0.05"} 1',
        'changeover_upgrade_duration_seconds_bucket{le="1"} 3',
        'changeover_upgrade_duration_seconds_bucket{le="60"} 3',
        'changeover_upgrade_duration_seconds_bucket{le="+Inf"} 4',
        "changeover_upgrade_duration_seconds_count 4",
        "changeover_connections 7",
        "changeover_draining_generations 1",
        "changeover_drained_connections_total 3",
        "changeover_cut_connections_total 2",
      ]
    ) {
      assert.ok(text.includes(`\n${line}\n`), line);
    }
  });
});

test("every error has a status, and is told with what is known of the child", () => {
  const statuses = Object.fromEntries(
    ERROR_CODES.map((code) => [code, failure(new UpgradeError(code, "Cannot")).status]),
  );
  assert.equal(statuses["ERR_UPGRADE_IN_PROGRESS"], 409);
  assert.equal(statuses["ERR_CHILD_EXITED"], 502);
  assert.equal(statuses["ERR_ROLLED_BACK"], 502);
  assert.equal(statuses["ERR_UPGRADE_TIMEOUT"], 504);
  const error = new UpgradeError("ERR_CHILD_EXITED", "Cannot upgrade", {
    exitCode: 3,
    childOutput: "the database is not there",
  });
  assert.deepEqual(JSON.parse(failure(error).text), {
    ok: false,
    error: {
      name: "UpgradeError",
      code: "ERR_CHILD_EXITED",
      message: "Cannot upgrade",
      childOutput: "the database is not there",
      exitCode: 3,
    },
  });
  assert.deepEqual(JSON.parse(failure(new RangeError("no")).text).error, {
    name: "RangeError",
    code: "ERR_INTERNAL",
    message: "no",
  });
  assert.equal(failure("thrown text").status, 500);
});
