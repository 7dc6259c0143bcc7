import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { UpgraderStatus } from "../../src/report.ts";
import { Upgrader } from "../../src/upgrader.ts";
import {
  type AppOptions,
  failed,
  FakeServer,
  outcome,
  recorder,
  refused,
  type Served,
  serving,
} from "../support/fake_app.ts";

/** Upgrades a process to one that runs an upgrader of its own. */
async function next(of: Served, options: AppOptions = {}): Promise<Served> {
  const upgrade = outcome(of.upgrader.upgrade());
  const child = await of.fake.child();
  const { fake } = child;
  const logger = recorder();
  const upgrader = await Upgrader.create({ logger, ...options, backend: fake.backend });
  const server = new FakeServer();
  await upgrader.listen(8080, server);
  await upgrader.ready();
  assert.equal((await upgrade).error, undefined);
  return { fake, upgrader, server, lines: logger.lines, events: [] };
}

/** A first generation and two that replaced it; both older ones drain a connection each. */
async function three(options: AppOptions = {}): Promise<readonly [Served, Served, Served]> {
  const first = await serving(options);
  first.server.connect();
  const second = await next(first, options);
  void first.upgrader.drain();
  second.server.connect();
  const third = await next(second, options);
  void second.upgrader.drain();
  return [first, second, third];
}

const brief = ({ draining }: UpgraderStatus) => draining.map(({ generation }) => generation);

describe("older generations", () => {
  test("are known to the newest one: process, generation, since when, until when", async () => {
    const before = Date.now();
    const [first, second, third] = await three({ drainTimeoutMs: 5000 });
    const { draining } = third.upgrader.status();
    assert.deepEqual(draining.map(({ pid }) => pid), [first.fake.pid, second.fake.pid]);
    for (const { since = 0, deadline } of draining) {
      assert.ok(since >= before && since <= Date.now());
      assert.equal(deadline, since + 5000);
    }
  });

  test("are not mistaken for a later process of the same number", async () => {
    const [first, , third] = await three();
    await first.fake.endProcess(first.fake.pid);
    first.fake.addProcess(first.fake.pid);
    assert.deepEqual(brief(third.upgrader.status()), [2]);
  });

  test("are too many for another upgrade, unless the policy is to cut the oldest", async () => {
    const refusing = await three({ maxDraining: 1 });
    await refused(refusing[2].upgrader.upgrade(), "ERR_TOO_MANY_GENERATIONS");

    const [first, second, third] = await three({ maxDraining: 1, drainingPolicy: "cut-oldest" });
    await next(third);
    const report = await first.upgrader.drain();
    assert.equal(report.cut, 1, "the oldest has cut its connection");
    assert.equal(second.upgrader.status().connections, 1, "the other one has not");
  });

  test("that cannot be reached are told by a signal to cut", async () => {
    const [first, second, third] = await three({ maxDraining: 0, drainingPolicy: "cut-oldest" });
    await first.fake.endProcess(second.fake.pid);
    await next(third);
    assert.equal((await first.upgrader.drain()).cut, 1);
  });
});

describe("a request to an older generation", () => {
  test("to upgrade goes on to the newest one", async () => {
    const [first, , third] = await three();
    await first.fake.raise("SIGHUP");
    const child = await third.fake.child();
    assert.equal(child.hello.generation, 4);
  });

  test("to stop goes on to the newest one, and cuts nothing", async () => {
    const [first, second, third] = await three();
    third.server.connect();
    await first.fake.raise("SIGTERM");
    assert.equal(await third.upgrader.exit, "stopped");
    for (const { upgrader } of [first, second, third]) {
      assert.equal(upgrader.status().connections, 1);
    }
  });

  test("to stop cuts its own connections when it is made twice", async () => {
    const [first, second] = await three();
    await first.fake.raise("SIGTERM");
    await first.fake.raise("SIGTERM");
    assert.equal((await first.upgrader.drain()).cut, 1);
    assert.equal(second.upgrader.status().connections, 1);
  });

  test("a signal to all of them at once, as from a terminal, stops the newest one politely", async () => {
    const all = await three();
    all[2].server.connect();
    for (const { fake } of all) await fake.raise("SIGINT");
    assert.equal(await all[2].upgrader.exit, "stopped");
    assert.equal(all[2].upgrader.status().connections, 1);
  });

  test("to stop cuts what it has when its successor is gone", async () => {
    const [first, second] = await three();
    await first.fake.endProcess(second.fake.pid);
    await first.fake.raise("SIGTERM");
    assert.equal((await first.upgrader.drain()).cut, 1);
  });
});

describe("the history", () => {
  test("tells the newest generation of all upgrades, failed ones and drains too", async () => {
    const first = await serving();
    const attempt = outcome(first.upgrader.upgrade());
    await (await first.fake.child()).exit(3);
    await failed(attempt, "ERR_CHILD_EXITED");
    const second = await next(first);
    await first.upgrader.drain();
    const third = await next(second);
    await third.fake.settle();

    const { history } = third.upgrader.status();
    assert.deepEqual(
      history.map(({ generation, result, code }) => [generation, result, code]),
      [[1, "failed", "ERR_CHILD_EXITED"], [1, "upgraded", undefined], [2, "upgraded", undefined]],
    );
    assert.equal(history[1]?.report?.pid, second.fake.pid);
    assert.equal(history[1]?.drain?.cut, 0);
    assert.equal(history[2]?.drain, undefined, "it has not drained yet");
    await second.upgrader.drain();
    await third.fake.settle();
    assert.equal(third.upgrader.status().history[2]?.drain?.connections, 0);
  });

  test("has at most ten upgrades", async () => {
    const { fake, upgrader } = await serving();
    for (let attempt = 0; attempt < 12; attempt++) {
      const upgrade = outcome(upgrader.upgrade());
      await (await fake.child()).exit(attempt);
      await failed(upgrade, "ERR_CHILD_EXITED");
    }
    const { history } = upgrader.status();
    assert.equal(history.length, 10);
    assert.match(history[9]?.message ?? "", /code 11/);
  });
});
