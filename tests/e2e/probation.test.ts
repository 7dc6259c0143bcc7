// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { type Load, startLoad } from "../../bench/load/load.ts";
import type { ServerConfig } from "../fixtures/server.ts";
import { ask, Chain, isRunning, until } from "../support/chain.ts";
import { current, testPairs } from "../support/runtimes.ts";

const limit = { timeout: 60_000 };
const folder = () => mkdtempSync(join(tmpdir(), "co-"));

function loadOn(chain: Chain, name = "main"): Load {
  const { host, port } = chain.address(name) as { host: string; port: number };
  return startLoad({
    target: { hostname: host, port },
    keepAlive: 8,
    oneShot: 4,
    thinkMs: 2,
    maxMs: 30_000,
  });
}

async function started(t: TestContext, config: ServerConfig): Promise<Chain> {
  const chain = new Chain({ runtime: current(), config });
  t.after(() => chain.end());
  await chain.event("ready", 1);
  return chain;
}

testPairs(
  "a child that gives up in its probation is rolled back under load, and no request is lost",
  async ({ parent, child }) => {
    const where = folder();
    const pidFile = join(where, "app.pid");
    const chain = new Chain({
      runtime: parent,
      config: {
        mode: "fail-after-answer",
        options: { probationMs: 20_000, drainSpreadMs: 200, pidFile },
        listen: [`unix:${where}/app.sock`],
      },
    });
    let load: Load | undefined;
    try {
      const first = await chain.event("ready", 1);
      load = loadOn(chain);
      const { status, json } = await chain.upgradeTo(child);
      assert.equal(status, 500);
      assert.equal(json.code, "ERR_ROLLED_BACK");
      assert.match(json.message, /too many errors/);
      // It ends when it has drained, or, had it not read yet that it is on probation, at the error of ready().
      const { pid } = await chain.event("aborted", 2);
      await until("the child has ended", () => !isRunning(pid));
      assert.ok(chain.said.every(({ event, cut }) => event !== "drained" || cut === 0));
      await until(
        "the parent knows it",
        async () => (await chain.get("/admin/status")).json.state === "serving",
      );
      const report = await load.stop();
      assert.equal(report.lost, 0, JSON.stringify(report.losses.slice(0, 5)));
      assert.equal(report.consistent, true, report.inconsistencies.join("; "));
      // The child gives up once it has answered; on a busy machine that may have been the prober alone.
      const identities = [...report.identities, ...report.prober?.identities ?? []];
      const generations = new Set(identities.map(({ identity }) => identity));
      assert.equal(generations.size, 2, "both have answered");
      assert.match((await chain.get()).text, /^1 /);
      assert.equal(readFileSync(pidFile, "utf8").trim(), String(first.pid));
    } finally {
      await load?.stop();
      await chain.end();
      rmSync(where, { recursive: true });
    }
  },
);

test("confirm keeps the child before its probation is over", limit, async (t) => {
  const chain = await started(t, { options: { probationMs: 60_000 } });
  const upgrade = chain.get("/admin/upgrade", {});
  await chain.event("ready", 2);
  // Both accept: the request is repeated until the parent gets it.
  await until("the parent has confirmed", async () => {
    await chain.get("/admin/confirm");
    return chain.said.some(({ event }) => event === "upgraded");
  });
  assert.equal((await upgrade).json.generation, 2);
});

test("a child that dies at the very moment of confirm has taken over nothing", limit, async (t) => {
  const where = folder();
  t.after(() => rmSync(where, { recursive: true }));
  const pidFile = join(where, "app.pid");
  const chain = await started(t, {
    killConfirmed: true,
    options: { probationMs: 60_000, pidFile },
    listen: [`unix:${where}/app.sock`],
  });
  const { pid } = await chain.event("ready", 1);
  for (let round = 0; round < 2; round++) {
    // Both accept, and the child is about to die: the parent is asked by a signal.
    process.kill(pid, "SIGHUP");
    const failures = () => chain.said.filter(({ event }) => event === "upgrade-failed");
    await until("the upgrade has failed", () => failures().length > round, 30_000);
    const watched = chain.said.findLast(({ event }) => event === "watched");
    assert.equal(watched?.["status"].generation, 2);
    assert.equal(watched?.["status"].state, "starting");
    assert.equal(readFileSync(pidFile, "utf8").trim(), String(pid));
    assert.equal(await ask({ path: `${where}/app.sock` }), "1");
    const { json } = await chain.get("/admin/status");
    assert.deepEqual([json.state, json.pid], ["serving", pid]);
    assert.equal(json.history.at(-1).code, "ERR_CHILD_EXITED");
  }
});

test("when the parent dies in the probation, the child is the owner", limit, async (t) => {
  const where = folder();
  t.after(() => rmSync(where, { recursive: true }));
  const pidFile = join(where, "app.pid");
  const chain = await started(t, { options: { probationMs: 60_000, pidFile } });
  const [{ pid }] = [await chain.event("ready", 1)];
  const upgrade = chain.get("/admin/upgrade", {}).catch(() => "cut");
  const second = await chain.event("ready", 2);
  process.kill(pid, "SIGKILL");
  assert.equal(await upgrade, "cut");
  await until(
    "the PID file is the child's",
    () => readFileSync(pidFile, "utf8").trim() === String(second.pid),
  );
  assert.match((await chain.get()).text, /^2 /);
});

test(
  "ten upgrades within moments, each draining for long: all are known, all end",
  limit,
  async (t) => {
    const chain = await started(t, {
      options: { maxDraining: 20, drainTimeoutMs: 10_000 },
      tellSignals: true,
    });
    const held: Promise<unknown>[] = [];
    for (let generation = 2; generation <= 11; generation++) {
      held.push(chain.get("/hold").catch(() => "cut"));
      await until(
        "the request is held",
        () =>
          chain.said.some(({ event, generation: by }) => event === "held" && by === generation - 1),
      );
      const { status, text } = await chain.get("/admin/upgrade", {});
      assert.equal(status, 200, text);
      await chain.event("ready", generation);
    }
    const { json } = await chain.get("/admin/status");
    assert.equal(json.generation, 11);
    assert.deepEqual(
      json.draining.map(({ generation }: { generation: number }) => generation),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    );
    assert.equal(json.history.length, 10);
    // A signal to the oldest reaches the newest, eleven generations later.
    const oldest = chain.said[0]!.pid;
    process.kill(oldest, "SIGTERM");
    assert.equal((await chain.event("exit", 11))["reason"], "stopped");
    // A second one means now. Not before the first has arrived: signals are not counted (signal(7)).
    for (let generation = 10; generation >= 1; generation--) {
      const { pid } = await chain.event("ready", generation);
      if (pid !== oldest) process.kill(pid, "SIGTERM");
      await chain.event("signal", generation);
      process.kill(pid, "SIGTERM");
    }
    await until("all have ended", () => chain.pids.every((pid) => !isRunning(pid)));
    assert.equal((await Promise.all(held)).length, 10);
  },
);
