import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { UpgradeError } from "../../src/errors.ts";
import type { UpgraderEventDetail } from "../../src/report.ts";
import { fakeBackend } from "../../src/testing/mod.ts";
import { Upgrader } from "../../src/upgrader.ts";
import { FakeServer, isPending, outcome, recorder, refused, serving } from "../support/fake_app.ts";

describe("create", () => {
  test("makes generation 1 without a parent", async () => {
    const fake = fakeBackend({ runtime: "deno" });
    const upgrader = await Upgrader.create({ backend: fake.backend });
    assert.equal(upgrader.generation, 1);
    assert.equal(upgrader.hasParent, false);
    assert.equal(upgrader.runtime, "deno");
    assert.deepEqual(upgrader.addresses, []);
    assert.deepEqual(upgrader.status(), {
      generation: 1,
      pid: fake.pid,
      runtime: "deno",
      version: "1.2.3",
      state: "starting",
      sockets: [],
      connections: 0,
      drain: null,
      draining: [],
      lastReport: null,
      history: [],
    });
    await upgrader.waitForParent();
  });

  test("rejects ERR_ALREADY_CREATED for a second one in the same process", async () => {
    const { backend } = fakeBackend();
    await Upgrader.create({ backend });
    await refused(Upgrader.create({ backend }), "ERR_ALREADY_CREATED");
  });

  test("may be tried again after it failed", async () => {
    const { backend } = fakeBackend();
    await assert.rejects(Upgrader.create({ backend, maxDraining: 1.5 }), RangeError);
    await assert.rejects(Upgrader.create({ backend, pidFile: "/nowhere/app.pid" }), /folder/);
    await Upgrader.create({ backend });
  });

  test("takes the signals it is told to, and refuses one that the system does not know", async () => {
    const fake = fakeBackend();
    const { backend } = fake;
    await assert.rejects(Upgrader.create({ backend, signals: { upgrade: "SIGFUN" } }), TypeError);
    assert.deepEqual(fake.handledSignals, []);
    await Upgrader.create({ backend, signals: { upgrade: "SIGUSR2", stop: [] } });
    assert.deepEqual(fake.handledSignals, ["SIGUSR2"]);
  });
});

describe("listen", () => {
  test("returns the server, and what a start function returned", async () => {
    const { upgrader } = await serving();
    const server = new FakeServer();
    assert.equal(await upgrader.listen(8081, server), server);
    const started = new FakeServer();
    let at: unknown;
    const returned = await upgrader.listen({ port: 8082, hostname: "127.0.0.1" }, (where) => {
      at = where;
      return Promise.resolve(started);
    });
    assert.equal(returned, started);
    assert.deepEqual(at, { port: 8082, hostname: "127.0.0.1", host: "127.0.0.1" });
  });

  test("after ready accepts at once", async () => {
    const { fake, upgrader } = await serving();
    await upgrader.listen(8081, new FakeServer());
    assert.deepEqual(fake.listeners.map(({ state }) => state), ["open", "open"]);
  });

  test("refuses what is no server, and says what to pass for an Express application", async () => {
    const { upgrader } = await serving();
    for (const wrong of [undefined, null, {}, "server", { close() {} }]) {
      await assert.rejects(upgrader.listen(8081, wrong as never), TypeError);
    }
    await assert.rejects(upgrader.listen(8081, { listen() {} }), /pass http\.createServer\(app\)/);
  });

  test("refuses an address that is in use here with ERR_ADDRESS, and releases one that failed", async () => {
    let fail = true;
    const { fake, upgrader } = await serving({}, {
      onListen: ({ address }) => {
        if (address.name === "web" && fail) throw new UpgradeError("ERR_ADDRESS", "in use");
      },
    });
    await refused(upgrader.listen(8080, new FakeServer()), "ERR_ADDRESS");
    await refused(upgrader.listen({ port: 0, name: "web" }, new FakeServer()), "ERR_ADDRESS");
    fail = false;
    await upgrader.listen({ port: 0, name: "web" }, new FakeServer());
    assert.equal(fake.listeners.length, 2);
  });

  test("is refused with ERR_UPGRADE_IN_PROGRESS during an upgrade and ERR_STOPPED after stop", async () => {
    const { fake, upgrader } = await serving();
    const upgrade = outcome(upgrader.upgrade());
    await refused(upgrader.listen(8081, new FakeServer()), "ERR_UPGRADE_IN_PROGRESS");
    await fake.child();
    upgrader.stop();
    await upgrade;
    await refused(upgrader.listen(8081, new FakeServer()), "ERR_STOPPED");
  });

  test("that is overtaken by stop closes what it has bound", async () => {
    let go!: () => void;
    const { fake, upgrader } = await serving({}, {
      onListen: ({ address }) =>
        address.kind === "tcp" && address.port === 8081
          ? new Promise<void>((resolve) => go = resolve)
          : undefined,
    });
    const listening = upgrader.listen(8081, new FakeServer());
    upgrader.stop();
    go();
    await listening;
    assert.deepEqual(fake.listeners.map(({ state }) => state), ["closed", "closed"]);
    assert.deepEqual(fake.descriptors, []);
  });
});

describe("fds", () => {
  test("refuses a name that is none, a descriptor that is none, closed or passed on already", async () => {
    const { fake, upgrader } = await serving();
    const fd = fake.openFile("app.log");
    assert.throws(() => upgrader.fds.add("", fd), TypeError);
    assert.throws(() => upgrader.fds.add("x".repeat(256), fd), TypeError);
    assert.throws(() => upgrader.fds.add("log", -1), TypeError);
    assert.throws(() => upgrader.fds.add("log", 1.5), TypeError);
    assert.throws(() => upgrader.fds.add("log", 99), { code: "ERR_ADDRESS" });
    assert.throws(() => upgrader.fds.add("log", 3), { code: "ERR_ADDRESS" });
    upgrader.fds.add("log", fd);
    assert.throws(() => upgrader.fds.add("log", fake.openFile("b")), { code: "ERR_ADDRESS" });
    assert.equal(upgrader.fds.take("log"), undefined);
  });
});

describe("before ready", () => {
  test("an upgrade is refused with ERR_NOT_READY, and drain too", async () => {
    const fake = fakeBackend();
    const upgrader = await Upgrader.create({ backend: fake.backend, logger: false });
    await refused(upgrader.upgrade(), "ERR_NOT_READY");
    await refused(upgrader.drain(), "ERR_NOT_READY");
    assert.equal(fake.children.length, 0);
  });

  test("stop rejects ready with ERR_STOPPED and resolves exit", async () => {
    const fake = fakeBackend();
    const upgrader = await Upgrader.create({ backend: fake.backend, logger: false });
    await upgrader.listen(8080, new FakeServer());
    upgrader.stop();
    await refused(upgrader.ready(), "ERR_STOPPED");
    assert.equal(await upgrader.exit, "stopped");
    assert.deepEqual(fake.descriptors, []);
  });

  test("ready that fails in generation 1 can be mended and called again", async () => {
    let broken = true;
    const fake = fakeBackend({
      onOpen: () => {
        if (broken) throw new UpgradeError("ERR_ADOPT", "Cannot open: broken");
      },
    });
    const upgrader = await Upgrader.create({ backend: fake.backend, logger: false });
    await upgrader.listen(8080, new FakeServer());
    await refused(upgrader.ready(), "ERR_ADOPT");
    broken = false;
    await upgrader.ready();
    assert.equal(upgrader.status().state, "serving");
  });
});

describe("signals", () => {
  test("SIGHUP upgrades, and the logger is told how that ended", async () => {
    const { fake, lines, upgrader } = await serving();
    await fake.raise("SIGHUP");
    const child = await fake.child();
    await child.ready();
    await child.owned();
    assert.equal(await upgrader.exit, "upgraded");
    assert.deepEqual(lines, [
      `info: upgraded: generation 2 (pid ${child.pid}, node 1.2.3) took over after 0 ms`,
    ]);
  });

  test("SIGHUP that fails is told to the logger, and nobody else has to listen", async () => {
    const { fake, lines, upgrader } = await serving();
    await fake.raise("SIGHUP");
    await (await fake.child()).exit(1);
    assert.equal(upgrader.status().state, "serving");
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /^error: Cannot upgrade: the child exited with code 1/);
  });

  test("SIGTERM stops, and a second one cuts what is still open", async () => {
    const { fake, server, upgrader, lines } = await serving();
    const connection = server.connect();
    await fake.raise("SIGTERM");
    assert.equal(await upgrader.exit, "stopped");
    const drain = upgrader.drain();
    assert.equal(await isPending(fake, drain), true);
    assert.equal(connection.destroyed, false);
    await fake.raise("SIGTERM");
    assert.equal((await drain).cut, 1);
    assert.equal(connection.destroyed, true);
    assert.match(lines.at(-1) ?? "", /warn: generation 1 cut 1 connections/);
    assert.equal(fake.status, undefined);
  });

  test("a second SIGTERM that comes before drain() is called cuts as well", async () => {
    const { fake, server, upgrader } = await serving();
    server.connect();
    await fake.raise("SIGTERM");
    await fake.raise("SIGTERM");
    const drain = upgrader.drain();
    assert.equal(await isPending(fake, drain), false);
    assert.equal((await drain).cut, 1);
  });

  test("SIGTERM before ready does what it does without this library", async () => {
    const fake = fakeBackend();
    await Upgrader.create({ backend: fake.backend, logger: false });
    await fake.raise("SIGTERM");
    assert.deepEqual(fake.status, { code: null, signal: "SIGTERM" });
  });

  test("a logger that throws does not break an upgrade", async () => {
    const broken = () => {
      throw new Error("disk full");
    };
    const { fake, upgrader } = await serving({
      logger: { info: broken, warn: broken, error: broken },
    });
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    await child.ready();
    await child.owned();
    assert.equal((await upgrade).value?.pid, child.pid);
  });
});

describe("drain", () => {
  test("waits for connections, and cuts and reports what is left at the deadline", async () => {
    const { fake, server, upgrader } = await serving({ drainTimeoutMs: 5000 });
    const finishes = server.connect();
    const stays = server.connect();
    assert.equal(upgrader.status().connections, 2);
    upgrader.stop();
    const drain = upgrader.drain();
    await fake.clock.advance(1000);
    finishes.destroy();
    await fake.clock.advance(3999);
    assert.equal(await isPending(fake, drain), true);
    await fake.clock.advance(1);
    const report = await drain;
    const counts = { connections: 2, served: 0, closedIdle: 0, closedPolitely: 0, cut: 1 };
    assert.deepEqual(report, {
      ...counts,
      durationMs: 5000,
      servers: [{ identity: "tcp:*:8080", kind: "net", ...counts }],
    });
    assert.deepEqual(upgrader.status().drain, report);
    assert.equal(stays.destroyed, true);
    assert.equal(await upgrader.drain(), report);
  });

  test("takes a shorter time once, and refuses one that is none", async () => {
    const { fake, server, upgrader } = await serving();
    server.connect();
    upgrader.stop();
    await assert.rejects(upgrader.drain({ timeoutMs: -1 }), RangeError);
    await assert.rejects(upgrader.drain({ timeout: 1 } as never), TypeError);
    const drain = upgrader.drain({ timeoutMs: 10 });
    await fake.clock.advance(10);
    assert.equal((await drain).cut, 1);
  });
});

describe("events", () => {
  test("carry the same detail as on diagnostics_channel", async () => {
    const { fake, upgrader } = await serving();
    const names = ["upgrading", "upgrade-failed", "spawned", "upgraded", "drained"] as const;
    const told: UpgraderEventDetail[] = [];
    const published: unknown[] = [];
    const listener = (message: unknown) => void published.push(message);
    for (const name of names) {
      upgrader.addEventListener(name, (event) => {
        told.push((event as CustomEvent<UpgraderEventDetail>).detail);
      });
      subscribe(`changeover:${name}`, listener);
    }
    try {
      const first = outcome(upgrader.upgrade());
      await (await fake.child()).exit(2);
      const { error } = await first;
      const second = outcome(upgrader.upgrade());
      const child = await fake.child();
      await child.ready();
      await child.owned();
      const { value: report } = await second;
      const drain = await upgrader.drain();
      await fake.settle();

      const from = { generation: 1, pid: fake.pid };
      assert.deepEqual(told, [
        { event: "upgrading", ...from },
        { event: "spawned", ...from },
        { event: "upgrade-failed", ...from, error },
        { event: "upgrading", ...from },
        { event: "spawned", ...from },
        { event: "upgraded", ...from, report },
        { event: "drained", ...from, drain },
      ]);
      assert.equal(published.length, told.length);
      for (const [index, detail] of told.entries()) assert.equal(published[index], detail);
    } finally {
      for (const name of names) unsubscribe(`changeover:${name}`, listener);
    }
  });
});

describe("two upgraders on one fake system", () => {
  test("hand over from generation to generation, and nothing is left of the old ones", async () => {
    const { fake, upgrader } = await serving();
    let parent = { fake, upgrader };
    for (let generation = 2; generation <= 5; generation += 1) {
      const upgrade = outcome(parent.upgrader.upgrade());
      const { fake: next } = await parent.fake.child();
      const upgrader = await Upgrader.create({ backend: next.backend, logger: recorder() });
      assert.equal(upgrader.generation, generation);
      await upgrader.listen(8080, new FakeServer());
      assert.equal(next.listeners[0]?.inherited, true);
      await upgrader.ready();
      assert.equal((await upgrade).value?.pid, next.pid);
      assert.equal(next.listeners[0]?.state, "open");
      assert.equal(parent.fake.listeners[0]?.state, "closed");
      await parent.upgrader.drain();
      assert.deepEqual(parent.fake.keptAliveBy, []);
      await fake.endProcess(parent.fake.pid);
      await upgrader.waitForParent();
      assert.deepEqual(next.descriptors, ["4 tcp [::]:8080"]);
      assert.deepEqual(upgrader.status().draining, []);
      parent = { fake: next, upgrader };
    }
    await parent.fake.clock.advance(10_000);
    assert.equal(fake.clock.pending, 0);
  });

  test("the successor serves on when the old process dies at any moment", async () => {
    for (const moment of ["greeted", "listening", "ready"] as const) {
      const { fake, upgrader } = await serving();
      void upgrader.upgrade().catch(() => {});
      const { fake: next } = await fake.child();
      const creating = Upgrader.create({ backend: next.backend, logger: false });
      if (moment === "greeted") await fake.endProcess(fake.pid);
      const successor = await creating;
      await successor.listen(8080, new FakeServer());
      if (moment === "listening") await fake.endProcess(fake.pid);
      const ready = successor.ready();
      if (moment === "ready") await fake.endProcess(fake.pid);
      await ready;
      assert.equal(successor.status().state, "serving", moment);
      assert.equal(next.listeners[0]?.state, "open");
      assert.deepEqual(next.descriptors, ["4 tcp [::]:8080"]);
    }
  });
});
