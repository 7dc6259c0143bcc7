// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Chain, isRunning, until } from "../support/chain.ts";
import { control, Follower } from "../support/control_client.ts";
import { current } from "../support/runtimes.ts";
import type { ServerConfig } from "../fixtures/server.ts";
import { Wire } from "../support/wire.ts";

const runtime = current();
const limit = { timeout: 60_000 };

async function started(t: TestContext, config: ServerConfig = {}) {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "control.sock");
  const pidFile = join(folder, "app.pid");
  const options = { control: path, pidFile, ...config.options };
  const chain = new Chain({ runtime, config: { ...config, options } });
  t.after(() => chain.end());
  const { pid } = await chain.event("ready", 1);
  const owner = () => Number(readFileSync(pidFile, "utf8"));
  return { folder, path, chain, pid, owner };
}

const value = (metrics: string, name: string) =>
  metrics.split("\n").find((line) => line.startsWith(`${name} `))?.slice(name.length + 1);

test(
  "the owner is asked, told and followed over its control socket, which moves with the service and goes with it",
  limit,
  async (t) => {
    const { folder, path, chain, pid } = await started(t);
    assert.equal(lstatSync(path).mode & 0o777, 0o600);
    const { status, headers, json } = await control(path, "GET", "/status");
    assert.equal(status, 200);
    assert.equal(headers["content-type"], "application/json");
    assert.deepEqual([json.generation, json.pid, json.state], [1, pid, "serving"]);

    const follower = await Follower.of(path);
    const upgraded = await control(path, "POST", "/upgrade");
    assert.equal(upgraded.status, 200);
    assert.equal(upgraded.json.ok, true);
    assert.equal(upgraded.json.report.generation, 2);
    const told = await follower.ended;
    const steps = ["status", "upgrading", "spawned", "child-ready", "committing", "upgraded"];
    const names = told.map(({ event }) => event);
    assert.deepEqual(names.filter((name) => steps.includes(name)), steps);
    assert.deepEqual([names[0], names.at(-1)], ["status", "upgraded"]);
    assert.deepEqual(told.at(-1)?.data.report, upgraded.json.report);
    // Nobody who listens holds the drain.
    await until("the first generation has ended by itself", () => !isRunning(pid));

    assert.equal((await control(path, "POST", "/upgrade")).json.report.generation, 3);
    const third = await chain.event("ready", 3);
    assert.equal((await control(path, "GET", "/status")).json.pid, third.pid);
    await until("the history has come", async () => {
      const { text } = await control(path, "GET", "/metrics");
      return value(text, 'changeover_upgrades_total{result="upgraded"}') === "2";
    });
    const metrics = await control(path, "GET", "/metrics");
    assert.match(metrics.headers["content-type"] as string, /^text\/plain; version=0\.0\.4/);
    assert.equal(value(metrics.text, "changeover_generation"), "3");
    assert.equal(value(metrics.text, "changeover_upgrade_duration_seconds_count"), "2");
    assert.equal(value(metrics.text, "changeover_cut_connections_total"), "0");

    const last = await Follower.of(path);
    const stopped = await control(path, "POST", "/stop");
    assert.deepEqual([stopped.status, stopped.json], [202, { ok: true }]);
    assert.equal((await last.ended).at(-1)?.event, "stopping");
    assert.equal((await chain.event("exit", 3)).reason, "stopped");
    await until("the third generation has ended by itself", () => !isRunning(third.pid));
    assert.deepEqual(readdirSync(folder), []);
  },
);

test(
  "a failed upgrade is told with what is known of the child, and the parent keeps the socket",
  limit,
  async (t) => {
    const { path, chain, pid, owner } = await started(t, { mode: "throw" });
    const before = lstatSync(path).ino;
    const { status, json } = await control(path, "POST", "/upgrade");
    assert.equal(status, 502);
    assert.equal(json.ok, false);
    assert.equal(json.error.name, "UpgradeError");
    assert.match(json.error.code, /^ERR_CHILD_(FAILED|EXITED)$/);
    assert.match(JSON.stringify(json.error), /the database is not there/);
    assert.equal(lstatSync(path).ino, before);
    assert.equal(owner(), pid);
    const { text } = await control(path, "GET", "/metrics");
    assert.equal(value(text, `changeover_upgrades_total{result="${json.error.code}"}`), "1");
    assert.equal((await chain.get()).status, 200);
  },
);

test(
  "a second upgrade is refused with 409 while one runs, which stop ends",
  limit,
  async (t) => {
    const { path, chain, pid } = await started(t, { mode: "never-ready" });
    const first = control(path, "POST", "/upgrade");
    await chain.event("waiting", 2);
    const second = await control(path, "POST", "/upgrade");
    assert.deepEqual([second.status, second.json.error.code], [409, "ERR_UPGRADE_IN_PROGRESS"]);
    assert.equal((await control(path, "GET", "/status")).json.state, "upgrading");
    assert.equal((await control(path, "POST", "/stop")).status, 202);
    const { status, json } = await first;
    assert.deepEqual([status, json.error.code], [409, "ERR_STOPPED"]);
    await until("the process has ended by itself", () => !isRunning(pid));
  },
);

test("an upgrade that does not come to an end answers 504", limit, async (t) => {
  const { path } = await started(t, { mode: "never-ready", options: { upgradeTimeoutMs: 1_000 } });
  const { status, json } = await control(path, "POST", "/upgrade");
  assert.deepEqual([status, json.error.code], [504, "ERR_UPGRADE_TIMEOUT"]);
});

test(
  "whoever has connected before the change of owner and asks afterwards is answered by the process that took it",
  limit,
  async (t) => {
    const { path, chain, pid } = await started(t);
    const early = new Wire({ path });
    const silent = new Wire({ path });
    // Both are known to the server when a later one has been answered.
    await control(path, "GET", "/status");
    await control(path, "POST", "/upgrade");
    early.write("GET /status HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.match(await early.closed, new RegExp(`"generation":1,"pid":${pid},.*"draining"`));
    // One that never asks does not hold the process.
    assert.equal(await silent.closed, "");
    await chain.event("drained", 1);
    await until("the first generation has ended by itself", () => !isRunning(pid));
  },
);

test("whoever asks while owners change is answered, every time", limit, async (t) => {
  const { path, chain } = await started(t);
  let over = false;
  const generations = new Set<number>();
  const ask = async () => {
    while (!over) {
      const { status, json } = await control(path, "GET", "/status");
      assert.equal(status, 200);
      generations.add(json.generation);
    }
  };
  const asking = Promise.all(Array.from({ length: 4 }, ask));
  // A rejection is looked at below, and is to end the loop here.
  asking.catch(() => over = true);
  for (let generation = 2; generation <= 4 && !over; generation++) {
    const { status, json } = await control(path, "POST", "/upgrade");
    assert.deepEqual([status, json.report?.generation], [200, generation]);
    await until("the successor has answered", () => over || generations.has(generation));
  }
  over = true;
  await asking;
  assert.deepEqual([...generations].sort(), [1, 2, 3, 4]);
  await control(path, "POST", "/stop");
  await chain.event("drained", 4);
});
