// Runs on: node22, node26, deno, bun
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Load, type LoadOptions, startLoad } from "../../bench/load/load.ts";
import { Chain, isRunning, until } from "../support/chain.ts";
import { current } from "../support/runtimes.ts";

const script = fileURLToPath(new URL("../fixtures/framework_server.ts", import.meta.url));
const runtime = current();
const UPGRADES = 3;

interface Case {
  /** How its connections are let go, as reports call it. */
  readonly kind: "http" | "net" | "native";
  readonly clients: Pick<LoadOptions, "keepAlive" | "oneShot" | "post">;
}

const http: Case = { kind: "http", clients: { keepAlive: 6, oneShot: 2, post: 3 } };
const net: Case = { kind: "net", clients: { keepAlive: 6, oneShot: 2 } };
const native: Case = { ...http, kind: "native" };

const everywhere: Readonly<Record<string, Case>> = {
  "node:http": http,
  "node:net": net,
  "express": http,
  "express, started": http,
  "fastify": http,
  "fastify, started": http,
  "hono, adaptor": http,
  "hono, listener": http,
};
const here: Readonly<Record<string, Readonly<Record<string, Case>>>> = {
  node: { "elysia, listener": http },
  deno: { "hono, native": native, "elysia, native": native },
  bun: { "hono, native": native, "elysia, started": native },
};

for (const [framework, one] of Object.entries({ ...everywhere, ...here[runtime.runtime] })) {
  test(
    `a server of ${framework} is replaced ${UPGRADES} times under load and loses nothing`,
    { timeout: 120_000 },
    () => replace(framework, one),
  );
}

async function replace(framework: string, { kind, clients }: Case): Promise<void> {
  const chain = new Chain({ runtime, script, env: { FRAMEWORK: framework } });
  try {
    await chain.event("ready", 1);
    const { port } = chain.address("main") as { port: number };
    const load = startLoad({
      ...clients,
      target: { port, hostname: "127.0.0.1" },
      thinkMs: 5,
      proberMs: 20,
      timeoutMs: 20_000,
    });
    try {
      for (let generation = 1; generation <= UPGRADES; generation++) {
        const { pid } = await chain.event("ready", generation);
        await until(
          `generation ${generation} has answered`,
          () => answersOf(load, generation) >= 50 || load.snapshot().lost > 0,
        );
        process.kill(pid, "SIGHUP");
        const { cut, servers } = await chain.event("drained", generation);
        assert.equal(cut, 0);
        assert.deepEqual(servers.map(({ kind }: { kind: string }) => kind), [kind]);
        await until(`generation ${generation} has ended by itself`, () => !isRunning(pid));
      }
      const last = UPGRADES + 1;
      await until(`generation ${last} has answered`, () => answersOf(load, last) >= 50);
    } finally {
      await load.stop();
    }
    const report = await load.done;
    for (const account of [report, report.prober!]) {
      assert.deepEqual(account.losses, []);
      assert.equal(account.lost, 0);
      assert.deepEqual(account.inconsistencies, []);
      assert.equal(account.inFlight, 0);
    }
    assert.deepEqual(report.identities.map(({ identity }) => identity), ["1", "2", "3", "4"]);
    assert.deepEqual(Object.keys(report.populations).sort(), Object.keys(clients).sort());

    const { pid } = await chain.event("ready", UPGRADES + 1);
    assert.ok(isRunning(pid));
    process.kill(pid, "SIGTERM");
    assert.equal((await chain.event("exit", UPGRADES + 1))["reason"], "stopped");
    assert.equal((await chain.event("drained", UPGRADES + 1))["cut"], 0);
    await until("the last generation has ended by itself", () => !isRunning(pid));
    assert.equal(chain.errors, "");
  } finally {
    await chain.end();
  }
}

function answersOf(load: Load, generation: number): number {
  const own = load.snapshot().identities.find(({ identity }) => identity === `${generation}`);
  return own?.answers ?? 0;
}
