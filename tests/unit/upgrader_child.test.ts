import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { UpgradeError } from "../../src/errors.ts";
import { FIRST_SOCKET_FD } from "../../src/protocol.ts";
import { fakeBackend, fakeParent } from "../../src/testing/mod.ts";
import { Upgrader } from "../../src/upgrader.ts";
import {
  failed,
  FakeServer,
  isPending,
  joining,
  outcome,
  recorder,
  refused,
} from "../support/fake_app.ts";

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "co-unit-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe("a child", () => {
  test("learns its generation and its sockets, and removes the variable", async () => {
    const { fake, parent, upgrader, lines } = await joining({}, { hello: { generation: 7 } });
    assert.equal(upgrader.generation, 7);
    assert.equal(upgrader.hasParent, true);
    assert.equal(fake.backend.env["CHANGEOVER"], undefined);
    assert.deepEqual(upgrader.addresses, [
      { name: "tcp:*:8080", kind: "tcp", hostname: "::", port: 8080 },
    ]);
    assert.deepEqual(fake.listeners.map(({ inherited, fd }) => [inherited, fd]), [[true, 4]]);
    assert.deepEqual(parent.frames, [{ type: "joined" }]);
    assert.deepEqual(lines, []);
  });

  test("accepts nothing before ready, then says so and waits for commit", async () => {
    const { fake, parent, upgrader } = await joining();
    const [listener] = fake.listeners;
    assert.equal(listener?.state, "paused");
    const ready = upgrader.ready();
    await fake.settle();
    assert.equal(listener?.state, "open");
    assert.deepEqual(parent.frames.slice(1), [{
      type: "ready",
      pid: fake.pid,
      generation: 2,
      runtime: "node",
      version: "1.2.3",
      used: ["tcp:*:8080"],
    }]);
    assert.equal(await isPending(fake, ready), true);
    await parent.commit();
    await ready;
    assert.equal(parent.frames.at(-1)?.type, "owned");
    assert.equal(upgrader.status().state, "serving");
  });

  test("keeps its process alive by the channel until it is ready, and not afterwards", async () => {
    const { fake, parent, upgrader } = await joining();
    assert.deepEqual(fake.keptAliveBy, ["[::]:8080", "channel to the parent"]);
    const ready = upgrader.ready();
    await fake.settle();
    await parent.commit();
    await ready;
    assert.deepEqual(fake.keptAliveBy, ["[::]:8080"]);
  });

  test("writes the PID file after commit, and before it says owned", async (t) => {
    const pidFile = join(folderFor(t), "app.pid");
    const { fake, parent, upgrader } = await joining({ pidFile });
    const ready = upgrader.ready();
    await fake.settle();
    assert.equal(existsSync(pidFile), false);
    await parent.commit();
    await ready;
    assert.equal(readFileSync(pidFile, "utf8"), `${fake.pid}\n`);
    assert.equal(parent.frames.at(-1)?.type, "owned");
  });

  test("that cannot write the PID file says fail, leaves, and touches nothing", async (t) => {
    const folder = folderFor(t);
    const pidFile = join(folder, "app.pid");
    const { fake, parent, upgrader } = await joining({ pidFile });
    const ready = outcome(upgrader.ready());
    await fake.settle();
    rmSync(folder, { recursive: true });
    await parent.commit();
    const error = await failed(ready, "ERR_CHILD_FAILED");
    assert.match(error.message, /its folder does not exist/);
    assert.deepEqual(parent.frames.map(({ type }) => type), ["joined", "ready", "fail"]);
    assert.equal(await upgrader.exit, "stopped");
    assert.equal(fake.listeners[0]?.state, "closed");
  });

  test("closes at ready what it does not claim", async () => {
    const { fake, parent, upgrader } = await joining({}, {
      sockets: [
        { identity: "tcp:*:8080" },
        { identity: "old", address: "127.0.0.1:9090" },
        { identity: "fd:log", kind: "raw" },
      ],
    });
    assert.deepEqual(upgrader.fds.names(), ["log"]);
    const ready = upgrader.ready();
    await fake.settle();
    assert.deepEqual(fake.descriptors, ["3 channel", "4 tcp [::]:8080"]);
    await parent.commit();
    await ready;
    assert.deepEqual(upgrader.fds.names(), []);
  });

  test("takes descriptors by name, once, and passes them on", async () => {
    const { fake, parent, upgrader } = await joining({}, {
      sockets: [{ identity: "tcp:*:8080" }, { identity: "fd:log", kind: "raw" }],
    });
    assert.equal(upgrader.fds.take("log"), 5);
    assert.equal(upgrader.fds.take("log"), undefined);
    assert.equal(upgrader.fds.take("else"), undefined);
    const ready = upgrader.ready();
    await fake.settle();
    await parent.commit();
    await ready;
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    assert.deepEqual(child.descriptors, ["3 channel", "4 tcp [::]:8080", "5 fd:log"]);
    assert.equal(child.hello.generation, 3);
    await child.exit(0);
    await upgrade;
  });

  test("finds a socket by its name, whatever address is asked for", async () => {
    const { upgrader } = await joining({}, {
      sockets: [{ identity: "tcp:*:8080" }, { identity: "web", address: "127.0.0.1:40123" }],
    });
    await upgrader.listen({ port: 0, name: "web" }, new FakeServer());
    assert.deepEqual(upgrader.addresses[1], {
      name: "web",
      kind: "tcp",
      hostname: "127.0.0.1",
      port: 40123,
    });
  });

  test("that listens where nothing was inherited binds, and accepts from ready on", async () => {
    const { fake, upgrader } = await joining();
    await upgrader.listen("127.0.0.1:0", new FakeServer());
    assert.deepEqual(fake.listeners.map(({ inherited, state }) => [inherited, state]), [
      [true, "paused"],
      [false, "paused"],
    ]);
    void upgrader.ready().catch(() => {});
    await fake.settle();
    assert.deepEqual(fake.listeners.map(({ state }) => state), ["open", "open"]);
  });

  test("tells a server that cannot take its socket to the parent, and closes that socket", async () => {
    const { fake, parent, upgrader } = await joining({}, {
      sockets: [{ identity: "tcp:*:8080" }, { identity: "web", address: "127.0.0.1:9090" }],
      onListen: ({ address }) => {
        if (address.name === "web") throw new UpgradeError("ERR_ADOPT", "Cannot take over: no");
      },
    });
    await refused(upgrader.listen({ port: 0, name: "web" }, new FakeServer()), "ERR_ADOPT");
    assert.deepEqual(parent.frames.map(({ type }) => type), ["joined", "fail"]);
    assert.deepEqual(fake.descriptors, ["3 channel", "4 tcp [::]:8080"]);
  });

  test("tells a listener that does not open to the parent, and rejects ready", async () => {
    const { fake, parent, upgrader } = await joining({}, {
      onOpen: () => Promise.reject(new UpgradeError("ERR_ADOPT", "Cannot take over: no")),
    });
    await refused(upgrader.ready(), "ERR_ADOPT");
    const frame = parent.frames.find(({ type }) => type === "fail");
    assert.deepEqual(frame?.type === "fail" && frame.message, "Cannot take over: no");
    await parent.abort("the child failed");
    assert.equal(await upgrader.exit, "stopped");
    assert.deepEqual(fake.listeners.map(({ state }) => state), ["closed"]);
  });

  test("refuses an upgrade of its own before it is ready", async () => {
    const { upgrader } = await joining();
    await refused(upgrader.upgrade(), "ERR_NOT_READY");
  });

  test("refuses a second ready, and drain while it serves", async () => {
    const { fake, parent, upgrader } = await joining();
    const ready = upgrader.ready();
    await refused(upgrader.ready(), "ERR_NOT_READY");
    await fake.settle();
    await parent.commit();
    await ready;
    await refused(upgrader.ready(), "ERR_NOT_READY");
    await refused(upgrader.drain(), "ERR_NOT_READY");
  });

  test("says its last words when an error is about to end it", async () => {
    const { fake, parent } = await joining();
    await fake.crash(new Error("undefined is not a function"));
    const frame = parent.frames.at(-1);
    assert.equal(frame?.type, "fail");
    assert.match(frame.message, /undefined is not a function/);
    assert.match(frame.stack, /upgrader_child\.test/);
  });

  test("says nothing of an error that ends it once it is the owner", async () => {
    const { fake, parent, upgrader } = await joining();
    const ready = upgrader.ready();
    await fake.settle();
    await parent.commit();
    await ready;
    await fake.crash(new Error("later"));
    assert.deepEqual(parent.frames.map(({ type }) => type), ["joined", "ready", "owned"]);
  });
});

describe("a child that is called off", () => {
  test("before ready rejects ready with ERR_ABORTED, also when ready is called afterwards", async () => {
    const { fake, parent, upgrader, events } = await joining();
    await parent.abort("the child was not ready within upgradeTimeoutMs");
    assert.equal(await upgrader.exit, "stopped");
    await refused(upgrader.ready(), "ERR_ABORTED");
    assert.deepEqual(fake.listeners.map(({ state }) => state), ["closed"]);
    assert.deepEqual(events, ["aborted"]);
    await upgrader.drain();
    assert.deepEqual(fake.descriptors, []);
    assert.deepEqual(fake.keptAliveBy, []);
    assert.deepEqual(fake.handledSignals, []);
  });

  test("between ready and commit rejects ready with ERR_ABORTED and stops accepting", async () => {
    const { fake, parent, upgrader } = await joining();
    const ready = outcome(upgrader.ready());
    await fake.settle();
    await parent.abort("stopped");
    const error = await failed(ready, "ERR_ABORTED");
    assert.match(error.message, /\(stopped\)/);
    assert.equal(fake.listeners[0]?.state, "closed");
  });

  test("in probation stops accepting, drains and leaves", async () => {
    const { fake, parent, upgrader, server } = await joining();
    const ready = upgrader.ready();
    await fake.settle();
    await parent.probation();
    await ready;
    const connection = server.connect();
    await parent.abort("rolled back");
    assert.equal(await upgrader.exit, "stopped");
    assert.equal(fake.listeners[0]?.state, "closed");
    const drain = upgrader.drain();
    assert.equal(await isPending(fake, drain), true);
    connection.destroy();
    assert.equal((await drain).connections, 1);
    assert.equal(upgrader.status().state, "exited");
  });

  test("leaves the PID file and the Unix path alone, which the parent serves", async (t) => {
    const folder = folderFor(t);
    const path = join(folder, "app.sock");
    const server = await listenOn(t, path);
    const { parent, upgrader } = await joining({}, {
      sockets: [{ identity: "tcp:*:8080" }, { identity: `unix:${path}`, kind: "unix" }],
    });
    await upgrader.listen(`unix:${path}`, new FakeServer());
    await parent.abort("no");
    await upgrader.drain();
    assert.equal(existsSync(path), true);
    server.close();
  });

  test("does what SIGTERM does without this library while it has accepted nothing", async () => {
    const { fake } = await joining();
    await fake.raise("SIGTERM");
    assert.deepEqual(fake.status, { code: null, signal: "SIGTERM" });
  });

  test("after owned leaves as well: the parent has taken it back", async () => {
    const { fake, parent, upgrader } = await joining();
    const ready = upgrader.ready();
    await fake.settle();
    await parent.commit();
    await ready;
    await parent.abort("the upgrade took too long");
    assert.equal(await upgrader.exit, "stopped");
    assert.equal(fake.listeners[0]?.state, "closed");
  });

  test("by garbage before ready leaves with ERR_ABORTED and says why", async () => {
    const { fake, parent, upgrader } = await joining();
    const ready = outcome(upgrader.ready());
    await fake.settle();
    await parent.sendBytes("}\n");
    await failed(ready, "ERR_ABORTED");
    const last = parent.frames.at(-1);
    assert.equal(last?.type, "fail");
    assert.match(last.message, /not JSON/);
  });

  test("by garbage after owned goes on: it is the owner", async () => {
    const { fake, parent, upgrader } = await joining();
    const ready = upgrader.ready();
    await fake.settle();
    await parent.commit();
    await ready;
    await parent.sendBytes("}\n");
    assert.equal(upgrader.status().state, "serving");
  });

  test("by its own stop tells the parent, and leaves", async () => {
    const { fake, parent, upgrader } = await joining();
    const ready = outcome(upgrader.ready());
    upgrader.stop();
    await failed(ready, "ERR_STOPPED");
    await fake.settle();
    assert.equal(await upgrader.exit, "stopped");
    // It may have accepted, and is given the time to finish that.
    assert.deepEqual(parent.frames.map(({ type }) => type), ["joined", "fail", "ready"]);
    assert.deepEqual(fake.listeners.map(({ state }) => state), ["closed"]);
  });

  test("by fail() opens nothing that ready() is asked to open afterwards", async () => {
    const { fake, parent, upgrader } = await joining();
    upgrader.fail("the database is too new");
    await refused(upgrader.ready(), "ERR_ABORTED");
    await fake.settle();
    assert.deepEqual(parent.frames.map(({ type }) => type), ["joined", "fail"]);
    assert.deepEqual(fake.listeners.map(({ state }) => state), ["closed"]);
    assert.equal(await upgrader.exit, "stopped");
  });

  test("after it has accepted learns so when what it accepted is answered", async () => {
    const { fake, parent, upgrader } = await joining();
    let answered = () => {};
    upgrader.drainWith("requests", () => new Promise<void>((resolve) => answered = resolve));
    let rejected = false;
    const ready = outcome(upgrader.ready()).finally(() => rejected = true);
    await fake.settle();
    await parent.abort("the time is over");
    await fake.settle();
    assert.equal(rejected, false);
    answered();
    await failed(ready, "ERR_ABORTED");
  });
});

describe("a child whose parent dies", () => {
  test("before hello starts as generation 1, closes what came, and says so", async () => {
    const parent = fakeParent({ greets: false, sockets: [{ identity: "tcp:*:8080" }] });
    const logger = recorder();
    const creating = Upgrader.create({ backend: parent.child.backend, logger });
    await parent.exit("SIGKILL");
    const upgrader = await creating;
    assert.equal(upgrader.generation, 1);
    assert.equal(upgrader.hasParent, false);
    assert.deepEqual(parent.child.descriptors, []);
    assert.match(logger.lines.join(), /the parent died before it said what it passed/);
    await upgrader.listen(8080, new FakeServer());
    await upgrader.ready();
    assert.equal(upgrader.status().state, "serving");
  });

  test("before ready goes on initialising, and is the owner once it is ready", async (t) => {
    const pidFile = join(folderFor(t), "app.pid");
    const { fake, parent, upgrader, events } = await joining({ pidFile });
    await parent.exit("SIGKILL");
    assert.equal(await isPending(fake, upgrader.exit), true);
    assert.equal(fake.listeners[0]?.state, "paused");
    await upgrader.ready();
    assert.equal(fake.listeners[0]?.state, "open");
    assert.equal(readFileSync(pidFile, "utf8"), `${fake.pid}\n`);
    assert.deepEqual(events, ["parent-gone", "ready"]);
    assert.deepEqual(upgrader.status().draining, []);
  });

  test("after ready is the owner at once", async (t) => {
    const pidFile = join(folderFor(t), "app.pid");
    const { fake, parent, upgrader } = await joining({ pidFile });
    const ready = upgrader.ready();
    await fake.settle();
    await parent.exit("SIGKILL");
    await ready;
    assert.equal(upgrader.status().state, "serving");
    assert.equal(readFileSync(pidFile, "utf8"), `${fake.pid}\n`);
    assert.deepEqual(fake.descriptors, ["4 tcp [::]:8080"]);
  });

  test("in probation is the owner at once", async () => {
    const { fake, parent, upgrader, events } = await joining();
    const ready = upgrader.ready();
    await fake.settle();
    await parent.probation();
    await ready;
    assert.equal(upgrader.status().state, "starting");
    await parent.exit("SIGKILL");
    assert.equal(upgrader.status().state, "serving");
    assert.deepEqual(events, ["parent-gone", "ready"]);
  });

  test("after ready and without a folder for the PID file serves all the same", async (t) => {
    const folder = folderFor(t);
    const pidFile = join(folder, "app.pid");
    const { fake, parent, upgrader, lines } = await joining({ pidFile });
    const ready = upgrader.ready();
    await fake.settle();
    rmSync(folder, { recursive: true });
    await parent.exit("SIGKILL");
    await ready;
    assert.equal(upgrader.status().state, "serving");
    assert.match(lines.join(), /error: Cannot write PID file/);
  });

  test("removes the Unix paths that the parent cannot remove any more", async (t) => {
    const path = join(folderFor(t), "old.sock");
    const server = await listenOn(t, path);
    const { parent, upgrader } = await joining({}, {
      sockets: [{ identity: "tcp:*:8080" }, { identity: `unix:${path}`, kind: "unix" }],
    });
    await parent.exit("SIGKILL");
    await upgrader.ready();
    assert.equal(existsSync(path), false);
    server.close();
  });

  test("after the upgrade learns it by waitForParent", async () => {
    const { fake, parent, upgrader, events } = await joining();
    const ready = upgrader.ready();
    await fake.settle();
    await parent.commit();
    await ready;
    const gone = upgrader.waitForParent();
    const aborter = new AbortController();
    const impatient = outcome(upgrader.waitForParent({ signal: aborter.signal }));
    assert.equal(await isPending(fake, gone), true);
    const [draining, ...others] = upgrader.status().draining;
    assert.deepEqual(others, []);
    assert.equal(draining?.pid, parent.pid);
    assert.equal(draining.generation, 1);
    assert.ok(Math.abs(Date.now() - (draining.since ?? 0)) < 60_000, "it drains since now");
    aborter.abort(new Error("enough"));
    assert.equal((await impatient).error?.message, "enough");
    await parent.exit(0);
    await gone;
    await upgrader.waitForParent();
    assert.deepEqual(upgrader.status().draining, []);
    assert.deepEqual(events, ["ready", "parent-gone"]);
  });

  test("and that is stopped before it is ready removes nothing of others", async () => {
    const { parent, upgrader } = await joining();
    await parent.exit(1);
    upgrader.stop();
    assert.equal(await upgrader.exit, "stopped");
    await refused(upgrader.ready(), "ERR_STOPPED");
  });
});

describe("an invitation", () => {
  test("for another process is ignored with a warning", async () => {
    const fake = fakeBackend();
    const other = fake.addProcess();
    fake.backend.env["CHANGEOVER"] = JSON.stringify({ v: 1, fd: 3, ppid: other });
    const logger = recorder();
    const upgrader = await Upgrader.create({ backend: fake.backend, logger });
    assert.equal(upgrader.generation, 1);
    assert.equal(fake.backend.env["CHANGEOVER"], undefined);
    assert.match(logger.lines.join(), /meant for another process/);
  });

  for (const value of ["", "no", "{}", '{"v":2,"fd":3,"ppid":1}', '{"v":1,"fd":1,"ppid":1}']) {
    test(`that says ${JSON.stringify(value)} is ignored with a warning`, async () => {
      const fake = fakeBackend({ env: { CHANGEOVER: value } });
      const logger = recorder();
      const upgrader = await Upgrader.create({ backend: fake.backend, logger });
      assert.equal(upgrader.hasParent, false);
      assert.match(logger.lines.join(), /^warn: .*the variable is ignored$/);
    });
  }

  test("without a channel is ignored with a warning", async () => {
    const fake = fakeBackend({ env: { CHANGEOVER: '{"v":1,"fd":3,"ppid":1}' } });
    const logger = recorder();
    const upgrader = await Upgrader.create({ backend: fake.backend, logger });
    assert.equal(upgrader.hasParent, false);
    assert.match(logger.lines.join(), /names descriptor 3, which is not a channel/);
  });

  test("from a parent that says nothing is refused with ERR_PROTOCOL after a minute", async () => {
    const parent = fakeParent({ greets: false });
    const creating = outcome(
      Upgrader.create({ backend: parent.child.backend, logger: false }),
    );
    await parent.child.clock.advance(60_000);
    await failed(creating, "ERR_PROTOCOL");
    assert.equal(parent.frames.at(-1)?.type, "fail");
  });

  test("from a parent that says something else than hello is refused with ERR_PROTOCOL", async () => {
    const parent = fakeParent({ greets: false });
    const creating = outcome(
      Upgrader.create({ backend: parent.child.backend, logger: false }),
    );
    await parent.commit();
    const error = await failed(creating, "ERR_PROTOCOL");
    assert.match(error.message, /said "commit" before hello/);
    assert.equal(parent.frames.at(-1)?.type, "fail");
  });

  test("from a parent that passed less than it says is refused with ERR_PROTOCOL", async () => {
    const entry = { fd: FIRST_SOCKET_FD, kind: "tcp", identity: "web", address: ":1" } as const;
    const parent = fakeParent({ hello: { sockets: [entry] } });
    await refused(
      Upgrader.create({ backend: parent.child.backend, logger: false }),
      "ERR_PROTOCOL",
    );
    assert.equal(parent.frames.at(-1)?.type, "fail");
  });

  test("is answered with fail when the options of the child are wrong", async () => {
    const parent = fakeParent();
    const creating = outcome(
      Upgrader.create({ backend: parent.child.backend, maxDraining: -1 }),
    );
    assert.ok((await creating).error as unknown instanceof RangeError);
    await parent.child.settle();
    const frame = parent.frames.at(-1);
    assert.equal(frame?.type, "fail");
    assert.match(frame.message, /maxDraining/);
  });
});

/** A file that is a socket. */
function listenOn(t: TestContext, path: string): Promise<Server> {
  const server = createServer();
  t.after(() => server.close());
  return new Promise((resolve) => server.listen({ path }, () => resolve(server)));
}
