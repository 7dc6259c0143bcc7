// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Load, startLoad, type Target } from "../../bench/load/load.ts";
import type { SequentialConfig } from "../fixtures/sequential.ts";
import { Chain, isRunning, type Said, until } from "../support/chain.ts";
import { current, runtimes } from "../support/runtimes.ts";

const limit = { timeout: 120_000 };
const script = fileURLToPath(new URL("../fixtures/sequential.ts", import.meta.url));
const SERVERS = ["node", "unix", "native", "native unix"];

/** A service under load, on every kind of server. */
class Service {
  readonly folder: string = mkdtempSync(join(tmpdir(), "co-"));
  readonly chain: Chain;
  readonly #loads = new Map<string, Load>();

  constructor(options: Record<string, unknown>) {
    const config: SequentialConfig = { folder: this.folder, options };
    this.chain = new Chain({
      runtime: current(),
      script,
      env: { CONFIG: JSON.stringify(config) },
    });
  }

  async begin(): Promise<Said> {
    const first = await this.chain.event("ready", 1);
    for (const name of SERVERS) {
      const target = this.chain.address(name) as { host?: string; port?: number; path?: string };
      this.#loads.set(
        name,
        startLoad({
          target: (target.path === undefined
            ? { hostname: target.host, port: target.port }
            : target) as Target,
          keepAlive: 3,
          oneShot: 2,
          thinkMs: 10,
          proberMs: 0,
          timeoutMs: 30_000,
          maxMs: 100_000,
        }),
      );
    }
    return first;
  }

  /** Asks the owner for an upgrade and waits until it is decided. */
  async upgrade(
    owner: number,
    plan: string,
    command: readonly string[] = current().command(script),
  ): Promise<Said> {
    const { said } = this.chain;
    writeFileSync(join(this.folder, "plan"), plan);
    writeFileSync(join(this.folder, "command"), JSON.stringify(command));
    const from = said.length;
    process.kill(owner, "SIGHUP");
    const decided = () =>
      said.slice(from).find(({ event }) => event === "upgraded" || event === "resumed");
    await until(`the upgrade is decided (${plan})`, () => decided() !== undefined, 30_000);
    const end = said.indexOf(decided() as Said);
    return said.slice(from, end + 1).findLast(({ event }) => /^upgrade/.test(event)) as Said;
  }

  /** Asks for an upgrade and lets the parent die once the child has joined. */
  async orphan(owner: number): Promise<void> {
    writeFileSync(join(this.folder, "plan"), "");
    writeFileSync(join(this.folder, "command"), JSON.stringify(current().command(script)));
    process.kill(owner, "SIGHUP");
    await this.chain.event("child-joined", 1, 30_000);
    try {
      process.kill(owner, "SIGKILL");
    } catch {
      // The child was so fast that it has left already.
    }
    await this.chain.event("ready", 2, 30_000);
  }

  /** Waits until a generation has answered on every server. */
  async answered(generation: number): Promise<void> {
    for (const [name, load] of this.#loads) {
      const count = () =>
        load.snapshot().identities.find(({ identity }) => identity === String(generation))
          ?.answers ?? 0;
      const before = count();
      await until(
        `generation ${generation} answers on ${name}`,
        () => count() > before + 20 || load.snapshot().lost > 0,
        30_000,
      );
    }
  }

  /** Ends the load: nothing was lost, nobody answered who did not hold the lock. */
  async settle(): Promise<void> {
    for (const [name, load] of this.#loads) {
      const report = await load.stop();
      assert.equal(report.lost, 0, `${name}: ${JSON.stringify(report.losses.slice(0, 5))}`);
      assert.deepEqual(report.inconsistencies, [], name);
    }
    assert.equal(this.chain.said.some(({ event }) => event === "two-holders"), false);
  }

  async end(): Promise<void> {
    for (const load of this.#loads.values()) await load.stop();
    await this.chain.end();
    rmSync(this.folder, { recursive: true });
  }
}

/** A client that keeps its connection and asks a line at a time. */
class Caller {
  readonly #socket: net.Socket;
  #text = "";
  closed = false;

  constructor(target: { readonly host: string; readonly port: number }) {
    this.#socket = net.connect(target);
    this.#socket.on("data", (bytes) => this.#text += String(bytes));
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => this.closed = true);
  }

  async ask(): Promise<string> {
    this.#text = "";
    this.#socket.write("?\n");
    await until("a line is answered", () => this.#text.endsWith("\n") || this.closed, 30_000);
    return this.#text.trim();
  }

  end(): void {
    this.#socket.destroy();
  }
}

test(
  "a sequential upgrade never has two holders, and its clients wait and lose nothing",
  limit,
  async () => {
    for (const child of runtimes.filter(({ name }) => /^(node26|deno|bun)$/.test(name))) {
      const service = new Service({ drainTimeoutMs: 20_000, drainSpreadMs: 50, idleGraceMs: 1000 });
      try {
        const first = await service.begin();
        await service.answered(1);
        const done = await service.upgrade(first.pid, "", child.command(script));
        assert.equal(done.event, "upgraded", JSON.stringify(done));
        await service.answered(2);
        await service.settle();
        const { steps, pause, runtime } = done["report"];
        assert.equal(runtime, child.runtime);
        assert.equal(pause.cut, 0);
        assert.ok(
          pause.closedPolitely + pause.closedIdle > 0,
          "its clients were told to reconnect",
        );
        const order = [
          "pausedMs",
          "releasedMs",
          "spawnedMs",
          "joinedMs",
          "readyMs",
          "committedMs",
          "ownedMs",
        ].map((step) => steps[step]);
        assert.deepEqual(order, order.toSorted((a, b) => a - b), "the steps follow each other");
        const events = service.chain.said.filter(({ generation }) => generation === 1)
          .map(({ event }) => event).filter((event) => event !== "drained");
        assert.deepEqual(events, [
          "ready",
          "paused",
          "released",
          "spawned",
          "child-joined",
          "child-ready",
          "committing",
          "upgraded",
        ]);
        assert.equal((await service.chain.event("drained", 1))["cut"], 0);
        await until("the parent has ended by itself", () => !isRunning(first.pid), 30_000);
        const second = await service.chain.event("ready", 2);
        assert.equal(readFileSync(join(service.folder, "lock"), "utf8"), String(second.pid));
        process.kill(second.pid, "SIGTERM");
        await until("the child has ended by itself", () => !isRunning(second.pid), 30_000);
      } finally {
        await service.end();
      }
    }
  },
);

test(
  "whatever goes wrong, the old process takes everything back and serves on, also on connections that are open",
  limit,
  async () => {
    const service = new Service({
      drainTimeoutMs: 500,
      drainSpreadMs: 50,
      idleGraceMs: 1000,
      probationMs: 60_000,
    });
    let caller: Caller | undefined;
    try {
      const first = await service.begin();
      caller = new Caller(service.chain.address("lines") as { host: string; port: number });
      await service.answered(1);
      for (
        const [plan, code, command] of [
          ["no program", "ERR_SPAWN", ["/nowhere/program"]],
          ["no release", "ERR_ABORTED", undefined],
          ["exit", "ERR_CHILD_EXITED", undefined],
          ["fail", "ERR_ROLLED_BACK", undefined],
        ] as const
      ) {
        const done = await service.upgrade(first.pid, plan, command);
        assert.equal(done["code"], code, JSON.stringify(done));
        await service.answered(1);
        assert.equal(await caller.ask(), "1 true", plan);
        assert.equal(readFileSync(join(service.folder, "lock"), "utf8"), String(first.pid));
      }
      // What never finishes is cut once the child has taken over.
      assert.equal((await service.upgrade(first.pid, "")).event, "upgraded");
      await service.answered(2);
      assert.equal((await service.chain.event("drained", 1))["cut"], 1);
      await until("the client was told", () => caller?.closed === true, 30_000);
      await service.settle();
    } finally {
      caller?.end();
      await service.end();
    }
  },
);

test(
  "a parent that dies after it has released leaves the service to its child, and no client notices",
  limit,
  async () => {
    const service = new Service({ drainTimeoutMs: 20_000, drainSpreadMs: 50, idleGraceMs: 1000 });
    try {
      const first = await service.begin();
      await service.answered(1);
      await service.orphan(first.pid);
      await service.answered(2);
      await service.settle();
      const second = await service.chain.event("ready", 2);
      assert.equal(readFileSync(join(service.folder, "lock"), "utf8"), String(second.pid));
    } finally {
      await service.end();
    }
  },
);
