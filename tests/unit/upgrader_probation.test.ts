import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { WatchedChild } from "../../src/watch.ts";
import {
  type AppOptions,
  failed,
  isPending,
  joining,
  outcome,
  refused,
  serving,
} from "../support/fake_app.ts";

async function onProbation(options: AppOptions = {}) {
  const app = await serving({ probationMs: 3000, ...options });
  const upgrade = outcome(app.upgrader.upgrade());
  const child = await app.fake.child();
  await child.ready();
  return { ...app, upgrade, child };
}

const notReady = { name: "UpgradeError", code: "ERR_NOT_READY" };

describe("confirm", () => {
  test("ends the probation early", async () => {
    const { upgrader, upgrade, child, fake } = await onProbation();
    upgrader.confirm();
    await fake.settle();
    assert.equal(child.frames.at(-1)?.type, "commit");
    await child.owned();
    assert.equal((await upgrade).value?.pid, child.pid);
  });

  test("is refused when no child is on probation", async () => {
    const { upgrader } = await serving();
    assert.throws(() => upgrader.confirm(), notReady);
  });

  test("at the moment at which the child dies leaves the old process the owner", async () => {
    const { upgrader, upgrade, child } = await onProbation();
    upgrader.confirm();
    await child.exit(1);
    await failed(upgrade, "ERR_CHILD_EXITED");
    assert.equal(upgrader.status().state, "serving");
  });
});

describe("fail", () => {
  test("in the child tells the parent why, on probation and before", async () => {
    for (const probation of [true, false]) {
      const { parent, upgrader } = await joining();
      const ready = probation ? outcome(upgrader.ready()) : undefined;
      if (probation) {
        await parent.child.settle();
        await parent.probation();
        assert.equal((await ready)?.error, undefined);
      }
      upgrader.fail("the new index is empty");
      await parent.child.settle();
      assert.deepEqual(parent.frames.at(-1), {
        type: "fail",
        message: "the new index is empty",
        stack: "",
      });
      await parent.abort("so you said");
      assert.equal(await upgrader.exit, "stopped");
    }
  });

  test("is refused in a process that is the owner, and for a reason that is none", async () => {
    const { upgrader } = await serving();
    assert.throws(() => upgrader.fail("why"), notReady);
    assert.throws(() => upgrader.fail(undefined as never), TypeError);
  });
});

describe("the health check", () => {
  test("is run at once and then at intervals, until the child has taken over", async () => {
    const seen: WatchedChild[] = [];
    const { fake, child, upgrade } = await onProbation({
      healthCheck: (watched) => void seen.push(watched),
      healthIntervalMs: 1000,
    });
    assert.equal(seen.length, 1);
    assert.equal(seen[0]?.pid, child.pid);
    assert.equal(seen[0]?.generation, 2);
    await fake.clock.advance(1000);
    await fake.clock.advance(1000);
    assert.equal(seen.length, 3);
    await fake.clock.advance(1000);
    await child.owned();
    assert.equal((await upgrade).value?.pid, child.pid);
    const { length } = seen;
    await fake.clock.advance(5000);
    assert.equal(seen.length, length, "nobody watches the owner");
    assert.equal(fake.clock.pending, 0);
  });

  test("that rejects or throws rolls back with ERR_ROLLED_BACK and its reason", async () => {
    for (
      const healthCheck of [
        () => Promise.reject(new Error("five hundreds")),
        () => {
          throw new Error("five hundreds");
        },
      ]
    ) {
      const { upgrader, upgrade, child } = await onProbation({ healthCheck });
      const error = await failed(upgrade, "ERR_ROLLED_BACK");
      assert.match(error.message, /the health check failed: five hundreds/);
      assert.deepEqual(child.signals, ["SIGTERM"]);
      await child.exit(0);
      assert.equal(upgrader.status().state, "serving");
    }
  });

  test("that does not come to an end in time rolls back", async () => {
    const { fake, upgrade } = await onProbation({
      healthCheck: () => new Promise(() => {}),
      healthTimeoutMs: 500,
    });
    assert.equal(await isPending(fake, upgrade), true);
    await fake.clock.advance(500);
    const error = await failed(upgrade, "ERR_ROLLED_BACK");
    assert.match(error.message, /not over within 500 ms/);
  });

  test("can ask the child how it is", async () => {
    const statuses: unknown[] = [];
    const { fake, child } = await onProbation({
      healthCheck: async (watched) => void statuses.push(await watched.status()),
    });
    const asked = child.frames.at(-1);
    assert.ok(asked?.type === "ask");
    await child.send({ type: "tell", id: asked.id, status: { state: "starting" } });
    await child.send({ type: "tell", id: 99, status: {} });
    await fake.settle();
    assert.deepEqual(statuses, [{ state: "starting" }]);
  });

  test("asks a child that answers with its status", async () => {
    const { parent, upgrader } = await joining();
    const ready = outcome(upgrader.ready());
    await parent.child.settle();
    await parent.probation();
    await ready;
    await parent.send({ type: "ask", id: 7 });
    const told = parent.frames.at(-1);
    assert.ok(told?.type === "tell");
    assert.equal(told.id, 7);
    assert.equal(told.status["generation"], 2);
    assert.equal(told.status["state"], "starting");
  });

  test("is refused without a probation, or when it is no function", async () => {
    await assert.rejects(serving({ healthCheck: () => {} }), /needs probationMs/);
    await assert.rejects(serving({ healthCheck: 1 as never, probationMs: 1 }), TypeError);
    await assert.rejects(serving({ drainingPolicy: "cut" as never }), /"refuse" or "cut-oldest"/);
    await refused((await serving()).upgrader.ready(), "ERR_NOT_READY");
  });
});
