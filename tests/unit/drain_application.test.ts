import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { DrainContext } from "../../src/drain/application.ts";
import { recorder, refused, serving } from "../support/fake_app.ts";

/** A generation that is about to drain. */
async function leaving() {
  const { lines: _, ...logger } = recorder();
  const lines: string[] = [];
  const served = await serving({
    drainTimeoutMs: 5000,
    drainSpreadMs: 300,
    logger: { ...logger, warn: (line) => void lines.push(line) },
  });
  return { ...served, lines };
}

describe("work of the application", () => {
  test("is begun with the drain, is told its terms, and is waited for", async () => {
    const { upgrader, fake } = await leaving();
    let finish!: () => void;
    const told: DrainContext[] = [];
    upgrader.drainWith("jobs", (context) => {
      told.push(context);
      return new Promise<void>((resolve) => finish = resolve);
    }, { connections: () => 3 });
    assert.equal(upgrader.status().connections, 3);
    assert.equal(upgrader.status().drain, null);
    upgrader.stop();
    await upgrader.exit;
    assert.equal(told.length, 0);
    const drain = upgrader.drain();
    await fake.clock.advance(1000);
    assert.deepEqual(
      told.map(({ timeoutMs, spreadMs, signal }) => [timeoutMs, spreadMs, signal.aborted]),
      [[5000, 300, false]],
    );
    assert.equal(upgrader.status().drain?.connections, 3);
    finish();
    const report = await drain;
    assert.equal(report.durationMs, 1000);
    assert.deepEqual(report.servers.at(-1), {
      identity: "jobs",
      kind: "application",
      connections: 3,
      served: 0,
      closedIdle: 0,
      closedPolitely: 0,
      cut: 0,
    });
    assert.deepEqual(upgrader.status().drain, report);
  });

  test("is told by its signal that the time is over, and is counted as cut", async () => {
    const { upgrader, fake, lines } = await leaving();
    let reason: unknown;
    upgrader.drainWith(
      "jobs",
      ({ signal }) =>
        new Promise((_resolve, reject) =>
          signal.addEventListener("abort", () => {
            reason = signal.reason;
            reject(signal.reason);
          })
        ),
    );
    upgrader.stop();
    await upgrader.exit;
    const drain = upgrader.drain();
    await fake.clock.advance(5000);
    assert.equal((await drain).cut, 1);
    assert.ok(reason instanceof Error);
    await fake.settle();
    assert.equal(lines.filter((line) => line.includes("could not finish")).length, 0);
  });

  for (
    const [how, work] of [
      ["throws", () => {
        throw new Error("the queue is gone");
      }],
      ["rejects", () => Promise.reject(new Error("the queue is gone"))],
    ] as const
  ) {
    test(`that ${how} is told to the operator and ends`, async () => {
      const { upgrader, lines } = await leaving();
      upgrader.drainWith("jobs", work);
      upgrader.stop();
      await upgrader.exit;
      assert.equal((await upgrader.drain()).cut, 0);
      assert.deepEqual(lines, ['"jobs" could not finish: the queue is gone']);
    });
  }

  test("that cannot be counted is waited for all the same", async () => {
    const { upgrader, fake } = await leaving();
    upgrader.drainWith("jobs", () => new Promise(() => {}), {
      connections: () => {
        throw new Error("no");
      },
    });
    upgrader.stop();
    await upgrader.exit;
    const drain = upgrader.drain();
    await fake.clock.advance(5000);
    assert.equal((await drain).cut, 1);
  });

  test("can be withdrawn, and cannot be added to a drain that runs", async () => {
    const { upgrader } = await leaving();
    let called = false;
    const withdraw = upgrader.drainWith("jobs", () => void (called = true));
    withdraw();
    withdraw();
    upgrader.stop();
    await upgrader.exit;
    assert.equal((await upgrader.drain()).servers.length, 1);
    assert.equal(called, false);
    await refused(
      new Promise((resolve) => resolve(upgrader.drainWith("late", () => {}))),
      "ERR_STOPPED",
    );
  });

  test("is checked at the door", async () => {
    const { upgrader } = await leaving();
    const add = upgrader.drainWith.bind(upgrader) as (...args: unknown[]) => unknown;
    for (
      const [args, message] of [
        [["", () => {}], /expected a name/],
        [[7, () => {}], /expected a name/],
        [["jobs"], /"jobs": expected a function/],
        [["jobs", () => {}, { connections: 3 }], /connections is not a function/],
        [["jobs", () => {}, { count: () => 3 }], /"count" is not an option/],
      ] as const
    ) {
      assert.throws(() => add(...args), { name: "TypeError", message });
    }
  });
});

test("a drain of nothing takes no timer", async () => {
  const { upgrader, fake } = await leaving();
  upgrader.stop();
  await upgrader.exit;
  const before = fake.clock.pending;
  const drain = upgrader.drain();
  assert.ok(fake.clock.pending <= before);
  assert.equal((await drain).durationMs, 0);
  assert.equal(fake.clock.pending, 0);
});
