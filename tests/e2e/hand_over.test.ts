// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { StateConfig } from "../fixtures/state.ts";
import { Chain, isRunning, until } from "../support/chain.ts";
import { current, testPairs } from "../support/runtimes.ts";

const script = fileURLToPath(new URL("../fixtures/state.ts", import.meta.url));
const limit = { timeout: 60_000 };

function start(config: StateConfig, runtime = current()): Chain {
  return new Chain({ runtime, script, config: {}, env: { CONFIG: JSON.stringify(config) } });
}

function started(t: TestContext, config: StateConfig): Chain {
  const chain = start(config);
  t.after(() => chain.end());
  return chain;
}

testPairs(
  "state passes to the successor fresh and whole, and what nobody takes is not produced",
  async ({ parent, child }) => {
    const chain = start({ megabytes: 8 }, parent);
    try {
      await chain.event("ready", 1);
      for (let count = 1; count <= 3; count++) assert.equal((await chain.get()).json.count, count);
      const { status, json } = await chain.get("/", { command: child.command(script) });
      assert.equal(status, 200, JSON.stringify(json) + chain.errors);
      const received = await chain.event("received", 2);
      assert.equal(received["bytes"], 8 * 1024 * 1024);
      assert.equal(received["count"], 3, "the state of the moment, not of the start");
      assert.equal(json.stateBytes, 8 * 1024 * 1024 + '{"count":3}'.length);
      assert.equal((await chain.event("unknown", 2))["value"], "undefined");
      assert.equal((await chain.get()).json.count, 4);
      assert.ok(chain.said.every(({ event }) => event !== "produced what nobody wants"));
      assert.ok(chain.said.every(({ event }) => event !== "thaw"));
    } finally {
      await chain.end();
    }
  },
);

test("a hundred megabytes pass in bounded memory", limit, async (t) => {
  const chain = started(t, { megabytes: 100 });
  await chain.event("ready", 1);
  const { status, text } = await chain.get("/", {});
  assert.equal(status, 200, text);
  const { bytes, grownMb } = await chain.event("received", 2);
  assert.equal(bytes, 100 * 1024 * 1024);
  // What the garbage collectors leave lying about, and far from 100 MB at once, let alone their base64.
  assert.ok(grownMb < 90, `grew by ${grownMb} MB`);
});

test(
  "a producer that throws fails the upgrade with ERR_ABORTED; what was frozen is thawed",
  limit,
  async (t) => {
    const chain = started(t, { megabytes: 8, mode: "throw" });
    const first = await chain.event("ready", 1);
    const { status, json } = await chain.get("/", {});
    assert.equal(status, 500);
    assert.equal(json.code, "ERR_ABORTED");
    assert.match(json.message, /Cannot hand over "large": the disk is gone/);
    await chain.event("thaw", 1);
    assert.deepEqual((await chain.get()).json, { generation: 1, count: 1, frozen: false });
    await until(
      "no successor is left",
      () => chain.pids.every((pid) => pid === first.pid || !isRunning(pid)),
    );
  },
);

for (const mode of ["never-read", "half"] as const) {
  const who = mode === "half" ? "producer" : "consumer";
  test(
    `a ${who} that stops half-way fails the upgrade with ERR_UPGRADE_TIMEOUT`,
    limit,
    async (t) => {
      const chain = started(t, { megabytes: 8, mode, upgradeTimeoutMs: 5000 });
      await chain.event("ready", 1);
      const { status, json } = await chain.get("/", {});
      assert.equal(status, 500);
      assert.equal(json.code, "ERR_UPGRADE_TIMEOUT");
      await chain.event("thaw", 1);
      assert.equal((await chain.get()).json.generation, 1);
    },
  );
}

test(
  "when the parent dies half-way, the successor learns that the state is not whole, and serves",
  limit,
  async (t) => {
    const chain = started(t, { megabytes: 8, mode: "half" });
    const first = await chain.event("ready", 1);
    const lost = chain.get("/", {}).catch(() => "cut");
    await chain.event("half", 1);
    process.kill(first.pid, "SIGKILL");
    const error = await chain.event("error", 2);
    assert.equal(error["code"], "ERR_ABORTED");
    assert.match(error["message"], /the parent has died/);
    await chain.event("ready", 2);
    assert.equal((await chain.get()).json.generation, 2);
    assert.equal(await lost, "cut");
  },
);
