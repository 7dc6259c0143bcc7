// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Histogram } from "../../bench/load/histogram.ts";
import { type Ending, type Outcome, outcomeOf } from "../../bench/load/outcome.ts";
import { type Entry, Tally } from "../../bench/load/tally.ts";

function begin(tally: Tally, nowMs: number, population = "keepAlive"): Entry {
  const birth = tally.identities.birth(nowMs);
  const window = tally.begin();
  return {
    population,
    fresh: true,
    birth,
    window,
    begunMs: nowMs,
    written: false,
    finished: false,
  };
}

function write(tally: Tally, entry: Entry): void {
  entry.written = true;
  tally.wire.requests++;
}

function answer(tally: Tally, entry: Entry, nowMs: number, identity = "1"): void {
  write(tally, entry);
  tally.wire.responses++;
  tally.answer(entry, identity, nowMs);
}

describe("Histogram", () => {
  test("gives percentiles within 1/32 and the exact maximum", () => {
    const histogram = new Histogram();
    for (let ms = 1; ms <= 10_000; ms++) histogram.add(ms / 10);
    const { count, p50, p99, p999, max } = histogram.summary();
    assert.equal(count, 10_000);
    for (const [found, wanted] of [[p50, 500], [p99, 990], [p999, 999]] as const) {
      assert.ok(found >= wanted && found <= wanted * (1 + 1 / 32), `${found} for ${wanted}`);
    }
    assert.equal(max, 1000);
  });

  test("takes zero, tiny, huge and negative durations", () => {
    const histogram = new Histogram();
    for (const ms of [0, 0.0001, -1, 1e12]) histogram.add(ms);
    assert.equal(histogram.count, 4);
    assert.equal(histogram.percentile(0.5), 0);
    assert.equal(histogram.summary().max, 1e12);
  });

  test("is all zero when it is empty", () => {
    assert.deepEqual(new Histogram().summary(), { count: 0, p50: 0, p99: 0, p999: 0, max: 0 });
  });
});

describe("outcomeOf", () => {
  const connect = (code: string): Ending => ({ kind: "connect-failed", code });
  const cases: readonly (readonly [Ending, boolean, Outcome])[] = [
    [connect("ECONNREFUSED"), false, "refused"],
    [connect("ENOENT"), false, "refused"],
    [connect("EAGAIN"), false, "refused"],
    [connect("ECONNRESET"), false, "connect-reset"],
    [connect("ETIMEDOUT"), false, "timed-out"],
    [connect("EMFILE"), false, "client-failed"],
    [connect("EADDRNOTAVAIL"), false, "client-failed"],
    [{ kind: "eof" }, false, "eof-before-response"],
    [{ kind: "eof" }, true, "answered-short"],
    [{ kind: "reset", code: "ECONNRESET" }, false, "reset-before-response"],
    [{ kind: "reset", code: "EPIPE" }, true, "reset-after-partial"],
    [{ kind: "timeout" }, true, "timed-out"],
    [{ kind: "malformed", message: "x" }, true, "wrong-answer"],
    [{ kind: "behind-close" }, false, "eof-before-response"],
  ];
  for (const [ending, partial, outcome] of cases) {
    test(`says ${outcome} when ${JSON.stringify(ending)}${partial ? " after a part" : ""}`, () => {
      assert.equal(outcomeOf(ending, partial), outcome);
    });
  }
});

describe("Tally", () => {
  test("is consistent when everything adds up", () => {
    const tally = new Tally("start", 0);
    answer(tally, begin(tally, 0), 3);
    tally.fail(begin(tally, 1), "refused", "connect-failed ECONNREFUSED", 2);
    tally.fail(begin(tally, 1), "not-sent", "eof", 2);
    const reset = begin(tally, 2, "post");
    write(tally, reset);
    tally.fail(reset, "reset-before-response", "reset ECONNRESET", 4);
    write(tally, begin(tally, 5));
    const report = tally.report(6, 1, 1);
    assert.deepEqual(report.inconsistencies, []);
    const { requests, sent, answered, lost, notSent, inFlight } = report;
    assert.deepEqual(
      { requests, sent, answered, lost, notSent, inFlight },
      { requests: 5, sent: 3, answered: 1, lost: 2, notSent: 1, inFlight: 1 },
    );
    assert.deepEqual(report.lossKinds, {
      "refused/fresh/connect-failed ECONNREFUSED": 1,
      "reset-before-response/fresh/reset ECONNRESET": 1,
    });
    assert.equal(report.populations["post"]?.lost, 1);
    assert.equal(report.losses.length, 2);
  });

  const mistakes: readonly (readonly [string, (tally: Tally) => void])[] = [
    ["a request is forgotten", (tally) => void begin(tally, 0)],
    ["a request has two classes", (tally) => {
      const entry = begin(tally, 0);
      answer(tally, entry, 1);
      tally.fail(entry, "refused", "again", 1);
    }],
    ["an answer is counted that never arrived", (tally) => {
      const entry = begin(tally, 0);
      write(tally, entry);
      tally.answer(entry, "1", 1);
    }],
    ["a response arrived that nobody counted", (tally) => void tally.wire.responses++],
    ["more was written than begun", (tally) => void tally.wire.requests++],
    ["a request was sent on a closed connection", (tally) => void tally.wire.sentAfterClose++],
  ];
  for (const [title, mistake] of mistakes) {
    test(`is not consistent when ${title}`, () => {
      const tally = new Tally("start", 0);
      mistake(tally);
      const report = tally.report(2);
      assert.equal(report.consistent, false);
      assert.notEqual(report.inconsistencies.length, 0);
    });
  }

  test("puts a request into each window that it overlaps", () => {
    const tally = new Tally("steady", 0);
    const long = begin(tally, 0);
    answer(tally, begin(tally, 1), 2);
    tally.mark("flip", 10);
    const lost = begin(tally, 11);
    tally.mark("steady", 20);
    tally.fail(lost, "refused", "connect-failed ECONNREFUSED", 25);
    answer(tally, long, 30);
    const report = tally.report(40);
    assert.deepEqual(report.inconsistencies, []);
    assert.deepEqual(
      report.windows.map(({ label, marks, durationMs, requests, answered, lost, latency }) => [
        label,
        marks,
        durationMs,
        requests,
        answered,
        lost,
        latency.max,
      ]),
      [["steady", 2, 30, 3, 2, 1, 30], ["flip", 1, 10, 2, 1, 1, 30]],
    );
  });

  test("sees versions go back on connections that were dialled later, and only there", () => {
    const tally = new Tally("start", 0);
    answer(tally, begin(tally, 0), 1, "old");
    const earlier = begin(tally, 2);
    answer(tally, begin(tally, 3), 5, "new");
    answer(tally, earlier, 6, "old");
    assert.deepEqual(tally.report(6).wentBack, { count: 0, maxLagMs: 0 });
    answer(tally, begin(tally, 9), 10, "old");
    answer(tally, begin(tally, 11), 12, "new");
    const report = tally.report(13);
    assert.deepEqual(report.wentBack, { count: 1, maxLagMs: 4 });
    assert.deepEqual(report.identities, [
      { identity: "old", answers: 3, firstMs: 1, lastMs: 10 },
      { identity: "new", answers: 2, firstMs: 5, lastMs: 12 },
    ]);
    assert.equal(report.consistent, true);
  });
});
