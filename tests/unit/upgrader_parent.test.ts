import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { UpgradeError } from "../../src/errors.ts";
import type { UpgradeReport } from "../../src/report.ts";
import type { FakeBackendOptions } from "../../src/testing/mod.ts";
import {
  failed,
  FakeServer,
  isPending,
  joining,
  outcome,
  refused,
  serving,
} from "../support/fake_app.ts";

const SERVING_8080 = ["3 tcp [::]:8080"];

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "co-unit-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Nothing is left of an upgrade that failed. */
async function servesAsBefore(app: Awaited<ReturnType<typeof serving>>): Promise<void> {
  const { fake, upgrader } = app;
  assert.equal(upgrader.status().state, "serving");
  assert.deepEqual(fake.listeners.map(({ state }) => state), ["open"]);
  assert.deepEqual(fake.descriptors, SERVING_8080);
  assert.deepEqual(fake.keptAliveBy, ["[::]:8080"]);
  assert.equal(await isPending(fake, upgrader.exit), true);
  // And it can be upgraded.
  const upgrade = outcome(upgrader.upgrade());
  const child = await fake.child();
  await child.ready();
  await child.owned();
  assert.equal((await upgrade).value?.pid, child.pid);
}

describe("an upgrade that succeeds", () => {
  test("passes the sockets and greets", async () => {
    const { fake, upgrader } = await serving({ upgradeTimeoutMs: 5000, env: { COLOR: "blue" } });
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    assert.deepEqual(child.request.fds, [3]);
    assert.deepEqual(child.descriptors, ["3 channel", "4 tcp [::]:8080"]);
    assert.equal(child.request.env["COLOR"], "blue");
    assert.deepEqual(JSON.parse(child.request.env["CHANGEOVER"] ?? ""), {
      v: 1,
      fd: 3,
      ppid: fake.pid,
    });
    assert.deepEqual(child.hello, {
      type: "hello",
      v: 1,
      generation: 2,
      pid: fake.pid,
      runtime: "node",
      sockets: [{ fd: 4, kind: "tcp", identity: "tcp:*:8080", address: "[::]:8080" }],
      deadlineMs: 5000,
      probationMs: 0,
      draining: [],
      drainTimeoutMs: 30_000,
    });
    await child.exit(0);
    await upgrade;
  });

  test("accepts until the child has taken over, and not any longer", async () => {
    const { fake, upgrader } = await serving();
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    const [listener] = fake.listeners;
    assert.equal(listener?.state, "open");
    assert.deepEqual(child.frames.map(({ type }) => type), ["hello"]);
    await child.ready();
    assert.equal(listener?.state, "open");
    assert.deepEqual(child.frames.map(({ type }) => type), ["hello", "commit"]);
    assert.equal(await isPending(fake, upgrader.exit), true);
    await child.owned();
    assert.equal(listener?.state, "closed");
    assert.equal(await upgrader.exit, "upgraded");
    assert.equal((await upgrade).value?.generation, 2);
  });

  test("is reported with the successor and the time of each step", async () => {
    const { fake, upgrader } = await serving();
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    await fake.clock.advance(70);
    await child.ready({ runtime: "bun", version: "9.9" });
    await fake.clock.advance(30);
    await child.owned();
    const expected: UpgradeReport = {
      generation: 2,
      pid: child.pid,
      runtime: "bun",
      version: "9.9",
      sockets: 1,
      stateBytes: 0,
      durationMs: 100,
      steps: { spawnedMs: 0, joinedMs: 0, readyMs: 70, committedMs: 70, ownedMs: 100 },
    };
    assert.deepEqual((await upgrade).value, expected);
    assert.deepEqual(upgrader.status().lastReport, expected);
    assert.equal(JSON.parse(JSON.stringify(upgrader.status())).state, "draining");
  });

  test("tells its events in order", async () => {
    const { fake, upgrader, events } = await serving();
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    await child.ready();
    await child.owned();
    await upgrade;
    await upgrader.drain();
    assert.deepEqual(events, [
      "ready",
      "upgrading",
      "spawned",
      "child-ready",
      "committing",
      "upgraded",
      "drained",
    ]);
  });

  test("leaves nothing that keeps the process alive after drain, and the successor alone", async () => {
    const { fake, upgrader } = await serving();
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    await child.ready();
    await child.owned();
    await upgrade;
    await upgrader.drain();
    assert.equal(upgrader.status().state, "exited");
    assert.deepEqual(fake.keptAliveBy, []);
    assert.deepEqual(fake.handledSignals, []);
    assert.equal(fake.clock.pending, 0);
    assert.deepEqual(child.signals, []);
    // The channel stays until the process ends: its end is how the child learns of that.
    assert.deepEqual(fake.descriptors, ["4 channel"]);
    assert.equal(fake.listeners[0]?.finished, true);
  });

  test("passes every socket on in the order of listen, descriptors of files too", async () => {
    const { fake, upgrader } = await serving();
    await upgrader.listen({ port: 0, name: "web" }, new FakeServer());
    upgrader.fds.add("log", fake.openFile("app.log"));
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    assert.deepEqual(child.descriptors, [
      "3 channel",
      "4 tcp [::]:8080",
      "5 tcp [::]:49152",
      "6 app.log",
    ]);
    assert.deepEqual(
      child.hello.sockets.map(({ fd, kind, identity }) => `${fd} ${kind} ${identity}`),
      ["4 tcp tcp:*:8080", "5 tcp web", "6 raw fd:log"],
    );
    await child.ready();
    await child.owned();
    assert.equal((await upgrade).value?.sockets, 3);
  });

  test("asks a function for the command and the environment at each upgrade", async () => {
    let release = 0;
    const { fake, upgrader } = await serving({
      command: () => {
        release += 1;
        return Promise.resolve([fake.backend.facts.program, `release-${release}`]);
      },
      env: () => ({ RELEASE: String(release) }),
    });
    for (const expected of ["release-1", "release-2"]) {
      const upgrade = outcome(upgrader.upgrade());
      const child = await fake.child();
      assert.equal(child.request.command[1], expected);
      await child.exit(1);
      await upgrade;
    }
    const once = outcome(upgrader.upgrade({ command: [fake.backend.facts.program, "once"] }));
    const child = await fake.child();
    assert.equal(child.request.command[1], "once");
    assert.equal(release, 2);
    await child.exit(1);
    await once;
  });

  test("writes the PID file at ready and leaves it to the successor", async (t) => {
    const pidFile = join(folderFor(t), "app.pid");
    const { fake, upgrader } = await serving({ pidFile });
    assert.equal(readFileSync(pidFile, "utf8"), `${fake.pid}\n`);
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    await child.ready();
    await child.owned();
    await upgrade;
    await upgrader.drain();
    // A played child writes none, so what was there is untouched.
    assert.equal(readFileSync(pidFile, "utf8"), `${fake.pid}\n`);
  });
});

describe("an upgrade that fails", () => {
  test("rejects ERR_CHILD_EXITED with the exit code when the child exits before it is ready", async () => {
    const app = await serving();
    const upgrade = outcome(app.upgrader.upgrade());
    await (await app.fake.child()).exit(3);
    const error = await failed(upgrade, "ERR_CHILD_EXITED");
    assert.equal(error.exitCode, 3);
    assert.equal(error.signal, undefined);
    assert.match(error.message, /exited with code 3/);
    assert.deepEqual(app.events, ["ready", "upgrading", "spawned", "upgrade-failed"]);
    await servesAsBefore(app);
  });

  test("rejects ERR_CHILD_EXITED with the signal when one ended the child", async () => {
    const app = await serving();
    const upgrade = outcome(app.upgrader.upgrade());
    await (await app.fake.child()).exit("SIGSEGV");
    const error = await failed(upgrade, "ERR_CHILD_EXITED");
    assert.equal(error.signal, "SIGSEGV");
    assert.equal(error.exitCode, undefined);
    await servesAsBefore(app);
  });

  test("waits for the exit status when the channel ends first", async () => {
    const app = await serving();
    const upgrade = outcome(app.upgrader.upgrade());
    const child = await app.fake.child();
    await child.closeChannel();
    assert.equal(await isPending(app.fake, upgrade), true);
    await child.exit(9);
    assert.equal((await upgrade).error?.exitCode, 9);
    await servesAsBefore(app);
  });

  test("rejects ERR_CHILD_FAILED when the child closes its channel and lives on", async () => {
    const app = await serving();
    const upgrade = outcome(app.upgrader.upgrade());
    const child = await app.fake.child();
    await child.closeChannel();
    await app.fake.clock.advance(1000);
    await failed(upgrade, "ERR_CHILD_FAILED");
    assert.deepEqual(child.signals, ["SIGTERM"]);
    await servesAsBefore(app);
  });

  test("rejects ERR_CHILD_FAILED with the message and the stack that the child told", async () => {
    const app = await serving();
    const upgrade = outcome(app.upgrader.upgrade());
    const child = await app.fake.child();
    await child.fail("no database", "Error: no database\n    at main.ts:3");
    const error = await failed(upgrade, "ERR_CHILD_FAILED");
    assert.match(error.message, /the child failed: no database/);
    assert.match(error.childOutput ?? "", /main\.ts:3/);
    assert.deepEqual(child.signals, ["SIGTERM"]);
    await servesAsBefore(app);
  });

  test("keeps what a child said last, also when its exit is learnt first", async () => {
    const app = await serving();
    const upgrade = outcome(app.upgrader.upgrade());
    const child = await app.fake.child();
    await Promise.all([child.fail("out of luck"), child.exit(1)]);
    await app.fake.clock.advance(250);
    const { error } = await upgrade;
    assert.match(error?.message ?? "", /out of luck/);
    await servesAsBefore(app);
  });

  for (
    const [what, bytes] of [
      ["garbage", "GET / HTTP/1.1\r\n\r\n"],
      ["an unknown version", '{"v":2,"type":"ready"}\n'],
      ["a list", "[]\n"],
      ["a frame with a bad field", '{"v":1,"type":"ready","pid":"one"}\n'],
      ["a line that is too long", "x".repeat(1024 * 1024)],
      ["what is not UTF-8", Uint8Array.of(0x22, 0xff, 0x22, 10)],
    ] as const
  ) {
    test(`rejects ERR_PROTOCOL when the child says ${what}`, async () => {
      const app = await serving();
      const upgrade = outcome(app.upgrader.upgrade());
      const child = await app.fake.child();
      await child.sendBytes(bytes);
      await failed(upgrade, "ERR_PROTOCOL");
      assert.equal(child.frames.at(-1)?.type, "abort");
      assert.deepEqual(child.signals, ["SIGTERM"]);
      await servesAsBefore(app);
    });
  }

  test("does not mind frames of an unknown type or out of turn", async () => {
    const { fake, upgrader } = await serving();
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    await child.sendBytes('{"v":1,"type":"from-the-future","x":1}\n');
    await child.owned();
    await child.send({ type: "commit" });
    assert.equal(upgrader.status().state, "upgrading");
    await child.ready();
    await child.ready();
    await child.owned();
    assert.equal((await upgrade).value?.pid, child.pid);
  });

  test("rejects ERR_UPGRADE_TIMEOUT after SIGTERM, then SIGKILL, when the child is not ready in time", async () => {
    const app = await serving({ upgradeTimeoutMs: 60_000 });
    const upgrade = outcome(app.upgrader.upgrade());
    const child = await app.fake.child();
    child.ignore("SIGTERM");
    await app.fake.clock.advance(59_999);
    assert.deepEqual(child.signals, []);
    await app.fake.clock.advance(1);
    assert.deepEqual(child.signals, ["SIGTERM"]);
    assert.deepEqual(child.frames.map(({ type }) => type), ["hello", "abort"]);
    // The caller is answered when nothing of the child is left.
    assert.equal(await isPending(app.fake, upgrade), true);
    await app.fake.clock.advance(2000);
    assert.deepEqual(child.signals, ["SIGTERM", "SIGKILL"]);
    const error = await failed(upgrade, "ERR_UPGRADE_TIMEOUT");
    assert.match(error.message, /upgradeTimeoutMs/);
    await servesAsBefore(app);
  });

  test("goes on serving when not even SIGKILL ends the child", async () => {
    const app = await serving({ upgradeTimeoutMs: 100 });
    const upgrade = outcome(app.upgrader.upgrade());
    const child = await app.fake.child();
    child.ignore("SIGTERM", "SIGKILL");
    await app.fake.clock.advance(100 + 2000 + 2000);
    await failed(upgrade, "ERR_UPGRADE_TIMEOUT");
    assert.equal(app.upgrader.status().state, "serving");
    assert.equal(child.status, undefined);
    assert.deepEqual(app.fake.keptAliveBy, ["[::]:8080"]);
  });

  test("rejects ERR_UPGRADE_TIMEOUT when the child is ready and does not take over in time", async (t) => {
    const pidFile = join(folderFor(t), "app.pid");
    const { fake, upgrader } = await serving({ upgradeTimeoutMs: 1000, pidFile });
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    await fake.clock.advance(400);
    await child.ready();
    // It had the time to take the PID file over.
    rmSync(pidFile);
    await fake.clock.advance(600);
    const error = await failed(upgrade, "ERR_UPGRADE_TIMEOUT");
    assert.match(error.message, /did not take over/);
    assert.equal(upgrader.status().state, "serving");
    assert.equal(readFileSync(pidFile, "utf8"), `${fake.pid}\n`);
  });

  test("gives a child that has accepted the time to drain before it is killed", async () => {
    const { fake, upgrader } = await serving({ upgradeTimeoutMs: 1000, drainTimeoutMs: 10_000 });
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    child.ignore("SIGTERM");
    await child.ready();
    await fake.clock.advance(1000);
    await failed(upgrade, "ERR_UPGRADE_TIMEOUT");
    await fake.clock.advance(11_999);
    assert.deepEqual(child.signals, ["SIGTERM"]);
    // Until it is gone no other can be started.
    await refused(upgrader.upgrade(), "ERR_UPGRADE_IN_PROGRESS");
    await fake.clock.advance(1);
    assert.deepEqual(child.signals, ["SIGTERM", "SIGKILL"]);
    assert.equal(upgrader.status().state, "serving");
  });

  test("takes the names back when the child dies between ready and owned", async (t) => {
    const pidFile = join(folderFor(t), "app.pid");
    const { fake, upgrader } = await serving({ pidFile });
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    await child.ready();
    rmSync(pidFile);
    await child.exit("SIGKILL");
    await failed(upgrade, "ERR_CHILD_EXITED");
    assert.equal(readFileSync(pidFile, "utf8"), `${fake.pid}\n`);
    assert.equal(upgrader.status().state, "serving");
  });

  const broken: readonly [string, FakeBackendOptions, object][] = [
    ["the program is missing", {}, { command: ["/nowhere/node", "server.js"] }],
    ["the folder is missing", {}, { cwd: "/nowhere" }],
    ["the environment cannot be one", {}, { env: { "": "x" } }],
    ["the function for the command throws", {}, {
      command: () => {
        throw new Error("no release");
      },
    }],
    ["the system refuses", {
      onSpawn: () => {
        throw new UpgradeError("ERR_SPAWN", "Cannot start: too many files are open");
      },
    }, {}],
  ];
  for (const [what, backend, options] of broken) {
    test(`rejects ERR_SPAWN when ${what}, and nothing is left behind`, async () => {
      const { fake, upgrader } = await serving({}, backend);
      await refused(upgrader.upgrade(options), "ERR_SPAWN");
      assert.equal(upgrader.status().state, "serving");
      assert.deepEqual(fake.descriptors, SERVING_8080);
      assert.equal(fake.clock.pending, 0);
    });
  }

  test("does not fail the next upgrade when its command is known at last", async () => {
    const found: ((command: string[]) => void)[] = [];
    const { fake, upgrader } = await serving({
      upgradeTimeoutMs: 100,
      command: () => new Promise<string[]>((resolve) => found.push(resolve)),
    });
    const first = outcome(upgrader.upgrade());
    await fake.clock.advance(100 + 2000 + 2000);
    await failed(first, "ERR_UPGRADE_TIMEOUT");
    const second = outcome(upgrader.upgrade());
    await fake.settle();
    found[0]?.([fake.backend.facts.program]);
    await fake.settle();
    found[1]?.([fake.backend.facts.program]);
    const child = await fake.child();
    await child.ready();
    await child.owned();
    assert.equal((await second).value?.pid, child.pid);
  });

  test("rejects an option that upgrade() does not know, and starts nothing", async () => {
    const { fake, upgrader } = await serving();
    const { error } = await outcome(upgrader.upgrade({ retries: 3 } as never));
    assert.ok(error as unknown instanceof TypeError);
    assert.match(error?.message ?? "", /"retries" is not an option/);
    assert.equal(fake.children.length, 0);
  });

  test("does not start a child whose time was over while its command was being found", async () => {
    let found!: (command: string[]) => void;
    const { fake, upgrader } = await serving({
      upgradeTimeoutMs: 100,
      command: () => new Promise<string[]>((resolve) => found = resolve),
    });
    const upgrade = outcome(upgrader.upgrade());
    await fake.clock.advance(100 + 2000 + 2000);
    await failed(upgrade, "ERR_UPGRADE_TIMEOUT");
    assert.equal(upgrader.status().state, "serving");
    found([fake.backend.facts.program]);
    await fake.settle();
    assert.equal(fake.children.length, 0);
    assert.equal(upgrader.status().state, "serving");
  });
});

describe("a second request", () => {
  test("is refused with ERR_UPGRADE_IN_PROGRESS while an upgrade runs, which goes on", async () => {
    const { fake, upgrader } = await serving();
    const first = outcome(upgrader.upgrade());
    await refused(upgrader.upgrade(), "ERR_UPGRADE_IN_PROGRESS");
    const child = await fake.child();
    await refused(upgrader.upgrade(), "ERR_UPGRADE_IN_PROGRESS");
    await child.ready();
    await refused(upgrader.upgrade(), "ERR_UPGRADE_IN_PROGRESS");
    await child.owned();
    assert.equal((await first).value?.pid, child.pid);
    assert.equal(fake.children.length, 1);
  });

  test("is refused with ERR_ALREADY_UPGRADED after an upgrade, and when drained", async () => {
    const { fake, upgrader } = await serving();
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    await child.ready();
    await child.owned();
    await upgrade;
    await refused(upgrader.upgrade(), "ERR_ALREADY_UPGRADED");
    await upgrader.drain();
    await refused(upgrader.upgrade(), "ERR_ALREADY_UPGRADED");
  });

  test("is refused with ERR_STOPPED after stop, and when drained", async () => {
    const { upgrader } = await serving();
    upgrader.stop();
    await refused(upgrader.upgrade(), "ERR_STOPPED");
    await upgrader.drain();
    await refused(upgrader.upgrade(), "ERR_STOPPED");
  });

  test("is refused with ERR_TOO_MANY_GENERATIONS while more than maxDraining older ones drain", async () => {
    const draining = [{ pid: 501, generation: 1 }, { pid: 502, generation: 2 }];
    const { parent, upgrader } = await joining(
      { maxDraining: 1 },
      { hello: { generation: 4, draining } },
    );
    const ready = upgrader.ready();
    await parent.child.settle();
    await parent.commit();
    await ready;
    // The parent, generation 3, drains as well now.
    const error = await refused(upgrader.upgrade(), "ERR_TOO_MANY_GENERATIONS");
    assert.match(error.message, /3 older generations/);
    assert.deepEqual(upgrader.status().draining.map(({ generation }) => generation), [1, 2, 3]);
    await parent.child.endProcess(501);
    await refused(upgrader.upgrade(), "ERR_TOO_MANY_GENERATIONS");
    await parent.child.endProcess(502);
    const upgrade = outcome(upgrader.upgrade());
    const child = await parent.child.child();
    assert.deepEqual(
      child.hello.draining.map(({ pid, generation }) => ({ pid, generation })),
      [{ pid: parent.pid, generation: 3 }],
    );
    await child.exit(0);
    await upgrade;
  });
});

describe("stop", () => {
  test("resolves exit with stopped and lets go of the sockets", async () => {
    const { fake, upgrader, events, lines } = await serving();
    upgrader.stop();
    assert.equal(await upgrader.exit, "stopped");
    assert.deepEqual(fake.descriptors, []);
    const report = await upgrader.drain();
    assert.equal(report.cut, 0);
    assert.deepEqual(events, ["ready", "stopping", "drained"]);
    assert.deepEqual(lines, ["info: generation 1 stops"]);
    assert.equal(upgrader.status().state, "exited");
    assert.deepEqual(fake.handledSignals, []);
    assert.equal(fake.clock.pending, 0);
  });

  test("interrupts a running upgrade with ERR_STOPPED and ends its child", async () => {
    const { fake, upgrader } = await serving();
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    upgrader.stop();
    await failed(upgrade, "ERR_STOPPED");
    assert.equal(await upgrader.exit, "stopped");
    assert.deepEqual(child.signals, ["SIGTERM"]);
    assert.equal(child.frames.at(-1)?.type, "abort");
    await upgrader.drain();
    await fake.settle();
    assert.equal(upgrader.status().state, "exited");
    assert.deepEqual(fake.descriptors, []);
    assert.deepEqual(fake.keptAliveBy, []);
  });

  test("kills a child that does not go, before the process is done", async () => {
    const { fake, upgrader } = await serving();
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    child.ignore("SIGTERM");
    upgrader.stop();
    await upgrade;
    await upgrader.drain();
    assert.equal(upgrader.status().state, "stopping");
    await fake.clock.advance(2000);
    assert.deepEqual(child.signals, ["SIGTERM", "SIGKILL"]);
    assert.equal(upgrader.status().state, "exited");
    assert.deepEqual(fake.keptAliveBy, []);
  });

  test("starts no child whose command is known only afterwards", async () => {
    let found!: (command: string[]) => void;
    const { fake, upgrader } = await serving({
      command: () => new Promise<string[]>((resolve) => found = resolve),
    });
    let spawned = 0;
    const spawn = fake.backend.spawn.bind(fake.backend);
    fake.backend.spawn = (request) => {
      spawned += 1;
      return spawn(request);
    };
    const upgrade = outcome(upgrader.upgrade());
    upgrader.stop();
    await failed(upgrade, "ERR_STOPPED");
    found([fake.backend.facts.program]);
    await fake.settle();
    await upgrader.drain();
    assert.equal(spawned, 0);
    assert.equal(upgrader.status().state, "exited");
  });

  test("removes the PID file", async (t) => {
    const pidFile = join(folderFor(t), "app.pid");
    const { upgrader } = await serving({ pidFile });
    upgrader.stop();
    assert.throws(() => readFileSync(pidFile), { code: "ENOENT" });
  });

  test("changes nothing once a successor has taken over", async () => {
    const { fake, upgrader } = await serving();
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    await child.ready();
    await child.owned();
    await upgrade;
    upgrader.stop();
    assert.equal(await upgrader.exit, "upgraded");
    assert.equal(upgrader.status().state, "draining");
    assert.deepEqual(child.signals, []);
  });
});

describe("probation", () => {
  test("is announced, watched, and followed by commit", async () => {
    const { fake, upgrader } = await serving({ probationMs: 3000, upgradeTimeoutMs: 1000 });
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    assert.equal(child.hello.probationMs, 3000);
    await child.ready();
    assert.equal(upgrader.status().state, "probation");
    assert.deepEqual(child.frames.map(({ type }) => type), ["hello", "probation"]);
    assert.equal(fake.listeners[0]?.state, "open");
    await refused(upgrader.upgrade(), "ERR_UPGRADE_IN_PROGRESS");
    await fake.clock.advance(2999);
    assert.equal(upgrader.status().state, "probation");
    await fake.clock.advance(1);
    assert.deepEqual(child.frames.map(({ type }) => type), ["hello", "probation", "commit"]);
    await child.owned();
    assert.equal((await upgrade).value?.pid, child.pid);
    assert.equal(await upgrader.exit, "upgraded");
  });

  test("that the child does not survive is rolled back with ERR_ROLLED_BACK", async () => {
    const app = await serving({ probationMs: 3000 });
    const upgrade = outcome(app.upgrader.upgrade());
    const child = await app.fake.child();
    await child.ready();
    await child.exit(134);
    const error = await failed(upgrade, "ERR_ROLLED_BACK");
    assert.equal(error.exitCode, 134);
    assert.equal(app.upgrader.status().state, "serving");
    assert.equal(app.fake.listeners[0]?.state, "open");
    // Only the short wait for last words may be left.
    await app.fake.clock.advance(250);
    assert.equal(app.fake.clock.pending, 0);
    assert.deepEqual(app.fake.descriptors, SERVING_8080);
  });

  test("in which the child fails is rolled back at once, and the child may drain", async () => {
    const { fake, upgrader } = await serving({ probationMs: 3000, drainTimeoutMs: 5000 });
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    child.ignore("SIGTERM");
    await child.ready();
    await child.fail("too many errors");
    const error = await failed(upgrade, "ERR_ROLLED_BACK");
    assert.match(error.message, /too many errors/);
    assert.deepEqual(child.signals, ["SIGTERM"]);
    await fake.clock.advance(6999);
    assert.deepEqual(child.signals, ["SIGTERM"]);
    await child.exit(0);
    assert.equal(upgrader.status().state, "serving");
  });

  test("is interrupted by stop", async () => {
    const { fake, upgrader } = await serving({ probationMs: 3000 });
    const upgrade = outcome(upgrader.upgrade());
    const child = await fake.child();
    await child.ready();
    upgrader.stop();
    await failed(upgrade, "ERR_STOPPED");
    assert.deepEqual(child.signals, ["SIGTERM"]);
    assert.equal(await upgrader.exit, "stopped");
    await fake.clock.advance(10_000);
    assert.deepEqual(child.frames.map(({ type }) => type), ["hello", "probation", "abort"]);
  });
});
