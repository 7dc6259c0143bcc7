import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Listener } from "../../src/backend/backend.ts";
import { Exclusives } from "../../src/exclusive.ts";
import { type AppOptions, failed, isPending, outcome, serving } from "../support/fake_app.ts";

/** A service with a lock, and a connection that stays; what happened is in `log`. */
async function locked(options: AppOptions = {}) {
  const log: string[] = [];
  const app = await serving({
    mode: "sequential",
    drainTimeoutMs: 1000,
    upgradeTimeoutMs: 3000,
    ...options,
  });
  const { upgrader, fake, server } = app;
  upgrader.exclusive("lock", {
    release: () => void log.push("release"),
    reacquire: () => void log.push("reacquire"),
  });
  const state = () => fake.listeners[0]?.state;
  return { ...app, log, state, connection: server.connect() };
}

describe("a sequential upgrade", () => {
  test("pauses, waits for the connections, releases, and only then starts the child", async () => {
    const { upgrader, fake, log, state, connection, events } = await locked();
    const upgrade = outcome(upgrader.upgrade());
    await fake.settle();
    assert.equal(state(), "paused");
    assert.deepEqual([log, fake.children.length], [[], 0]);
    connection.destroy();
    const child = await fake.child();
    assert.deepEqual(log, ["release"]);
    await child.send({ type: "joined" });
    await fake.clock.advance(40);
    await child.ready();
    assert.equal(state(), "paused", "nobody else accepts");
    await child.owned();
    const report = (await upgrade).value;
    assert.equal(report?.pause?.connections, 1);
    assert.deepEqual(Object.keys(report?.steps ?? {}), [
      "pausedMs",
      "releasedMs",
      "spawnedMs",
      "joinedMs",
      "readyMs",
      "committedMs",
      "ownedMs",
    ]);
    assert.equal(state(), "closed");
    assert.deepEqual(events.slice(1), [
      "upgrading",
      "paused",
      "released",
      "spawned",
      "child-joined",
      "child-ready",
      "committing",
      "upgraded",
    ]);
    assert.equal((await upgrader.drain()).connections, 0);
    assert.equal(fake.clock.pending, 0);
  });

  test("keeps what has not finished in time: it is served on when the child fails, else cut", async () => {
    const { upgrader, fake, log, state, connection } = await locked();
    for (const fails of [true, false]) {
      log.length = 0;
      const upgrade = outcome(upgrader.upgrade());
      await fake.settle();
      await fake.clock.advance(999);
      assert.equal(fake.children.length, fails ? 0 : 1);
      await fake.clock.advance(1);
      const child = await fake.child();
      assert.equal(connection.destroyed, false);
      if (fails) {
        await child.exit(1);
        await failed(upgrade, "ERR_CHILD_EXITED");
        assert.deepEqual(log, ["release", "reacquire"]);
        assert.equal(state(), "open");
        assert.equal(upgrader.status().connections, 1);
      } else {
        await child.ready();
        await child.owned();
        assert.equal((await upgrade).value?.pause?.connections, 1);
        const drain = upgrader.drain();
        await fake.clock.advance(1000);
        assert.equal((await drain).cut, 1);
      }
    }
  });

  test("costs nothing when nothing can be started: that is found out before the pause", async () => {
    const { upgrader, fake, log, state } = await locked({ command: ["/nowhere/program"] });
    const upgrade = outcome(upgrader.upgrade());
    await failed(upgrade, "ERR_SPAWN");
    assert.equal(state(), "open");
    assert.deepEqual(log, []);
    assert.equal(fake.clock.pending, 0);
  });

  test("that cannot release goes on with everything taken back", async () => {
    const { upgrader, fake, log, state, connection } = await locked();
    upgrader.exclusive("device", {
      release: () => Promise.reject(new Error("it is busy")),
      reacquire: () => void log.push("reacquire device"),
    });
    connection.destroy();
    const error = await failed(outcome(upgrader.upgrade()), "ERR_ABORTED");
    assert.match(error.message, /"device" could not be released: it is busy/);
    assert.deepEqual(log, ["reacquire device"], "what was not released is not taken back");
    assert.equal(state(), "open");
    assert.equal(fake.children.length, 0);
  });

  test("that is released or taken back too late accepts again, and says so", async () => {
    const { upgrader, fake, log, state, connection, lines } = await locked();
    connection.destroy();
    let signal: AbortSignal | undefined;
    const withdraw = upgrader.exclusive("stuck", {
      release: (context) => {
        signal = context.signal;
        return new Promise(() => {});
      },
      reacquire: () => {},
    });
    const upgrade = outcome(upgrader.upgrade());
    await fake.settle();
    await fake.clock.advance(3000);
    assert.equal(signal?.aborted, true);
    assert.equal(await isPending(fake, upgrade), true, "never while it is being released");
    await fake.clock.advance(3000);
    const error = await failed(upgrade, "ERR_UPGRADE_TIMEOUT");
    assert.match(
      error.message,
      /not released within upgradeTimeoutMs.*; afterwards .*not taken back/,
    );
    assert.equal(state(), "open");
    withdraw();
    // And once more, with a resource that is gone for good.
    upgrader.exclusive("gone", {
      release: () => {},
      reacquire: () => Promise.reject(new Error("no such device")),
    });
    const second = outcome(upgrader.upgrade());
    const child = await fake.child();
    await child.exit("SIGKILL");
    assert.match(
      (await failed(second, "ERR_CHILD_EXITED")).message,
      /"gone" could not be taken back/,
    );
    assert.ok(lines.some((line) => /^error: Cannot go on as before: "gone"/.test(line)));
    assert.deepEqual(log.slice(-2), ["release", "reacquire"]);
    assert.equal(upgrader.status().state, "serving");
  });

  test("is not begun anew while what the last one released is still being taken back", async () => {
    const { upgrader, fake, connection } = await locked();
    connection.destroy();
    const log: string[] = [];
    let finish = () => {};
    upgrader.exclusive("slow", {
      release: () => void log.push("release"),
      reacquire: () =>
        new Promise<void>((resolve) => {
          log.push("reacquire");
          finish = () => (log.push("back"), resolve());
        }),
    });
    const first = outcome(upgrader.upgrade());
    await (await fake.child()).exit(1);
    await fake.clock.advance(3000);
    await failed(first, "ERR_CHILD_EXITED");
    const second = outcome(upgrader.upgrade());
    await fake.settle();
    assert.deepEqual([log, fake.children.length], [["release", "reacquire"], 1]);
    finish();
    const child = await fake.child();
    assert.deepEqual(log, ["release", "reacquire", "back", "release"]);
    await child.exit(1);
    await fake.settle();
    finish();
    await failed(second, "ERR_CHILD_EXITED");
  });

  test("whose pause comes too late does not pause the upgrade after it", async () => {
    const { upgrader, fake, state, connection } = await locked();
    connection.destroy();
    const listener = fake.listeners[0] as unknown as Required<Pick<Listener, "pause">>;
    const pause = listener.pause.bind(listener);
    let goOn = () => {};
    listener.pause = () => new Promise((resolve) => goOn = () => resolve(pause()));
    const first = outcome(upgrader.upgrade());
    await fake.settle();
    await fake.clock.advance(4000);
    await failed(first, "ERR_UPGRADE_TIMEOUT");
    const second = outcome(upgrader.upgrade({ mode: "parallel" }));
    const child = await fake.child();
    goOn();
    await fake.settle();
    assert.equal(state(), "open", "the parent of a parallel upgrade accepts");
    await child.exit(1);
    await failed(second, "ERR_CHILD_EXITED");
  });

  test("that is stopped in the middle leaves, and releases nothing more", async () => {
    const { upgrader, fake, log, connection } = await locked();
    const upgrade = outcome(upgrader.upgrade());
    await fake.settle();
    upgrader.stop();
    await failed(upgrade, "ERR_STOPPED");
    assert.equal(await upgrader.exit, "stopped");
    const drain = upgrader.drain();
    connection.destroy();
    assert.equal((await drain).cut, 0);
    assert.deepEqual(log, []);
    assert.equal(fake.children.length, 0);
    assert.equal(fake.clock.pending, 0);
  });

  test("can be asked for once, and a parallel one with exclusive resources is warned of", async () => {
    const { upgrader, fake, connection, lines } = await locked({ mode: "parallel" });
    connection.destroy();
    const upgrade = outcome(upgrader.upgrade({ mode: "sequential" }));
    const child = await fake.child();
    await child.exit(1);
    await failed(upgrade, "ERR_CHILD_EXITED");
    assert.equal(lines.some((line) => line.startsWith("warn")), false);
    const second = outcome(upgrader.upgrade());
    await (await fake.child()).exit(1);
    await failed(second, "ERR_CHILD_EXITED");
    assert.ok(
      lines.some((line) => /^warn: what was given to exclusive\(\) is not released/.test(line)),
    );
    await assert.rejects(upgrader.upgrade({ mode: "both" as never }), TypeError);
  });
});

test("resources are released in reverse order and taken back in order; wrong ones are refused", async () => {
  const exclusives = new Exclusives();
  const log: string[] = [];
  for (const name of ["a", "b"]) {
    exclusives.add(name, {
      release: () => void log.push(`-${name}`),
      reacquire: () => void log.push(`+${name}`),
    });
  }
  await exclusives.release();
  assert.equal(await exclusives.reacquire(), null);
  assert.equal(await exclusives.reacquire(), null, "once");
  assert.deepEqual(log, ["-b", "-a", "+a", "+b"]);
  const nothing = () => {};
  assert.throws(() => exclusives.add("a", { release: nothing, reacquire: nothing }), /taken/);
  assert.throws(() => exclusives.add("", { release: nothing, reacquire: nothing }), /a name/);
  assert.throws(() => exclusives.add("c", { release: nothing } as never), /"reacquire"/);
});
