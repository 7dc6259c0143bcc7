// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { UpgraderOptions } from "../../src/options.ts";
import { type Fake, fakeBackend, fakeParent } from "../../src/testing/mod.ts";
import { Upgrader } from "../../src/upgrader.ts";

const SOCKET = { NOTIFY_SOCKET: "/run/notify", PATH: "/usr/bin:/bin" };

/** Messages as records; times left out, because they are a clock's. */
function told(fake: Fake): Record<string, string>[] {
  return fake.notified.map((message) =>
    Object.fromEntries(
      message.split("\n").map((line) => {
        const [name = "", ...value] = line.split("=");
        return [name, name === "MONOTONIC_USEC" ? "now" : value.join("=")];
      }),
    )
  );
}

async function owner(options: UpgraderOptions = {}, env: Record<string, string> = {}) {
  const fake = fakeBackend({ env: { ...SOCKET, ...env } });
  const warnings: string[] = [];
  const upgrader = await Upgrader.create({
    backend: fake.backend,
    logger: { info() {}, warn: (text) => void warnings.push(text), error() {} },
    ...options,
  });
  return { fake, upgrader, warnings };
}

describe("a service manager is told", () => {
  test("that the first generation initialises, how long that may take, and that it is ready", async () => {
    const { fake, upgrader } = await owner({ upgradeTimeoutMs: 100_000 });
    assert.deepEqual(told(fake), [
      { STATUS: "Generation 1 initialises", EXTEND_TIMEOUT_USEC: "105000000" },
    ]);
    await upgrader.ready();
    await fake.settle();
    assert.deepEqual(told(fake).slice(1), [
      { READY: "1", STATUS: "Generation 1 (node 1.2.3) serves" },
    ]);
  });

  test("of an upgrade, and in one message of its end and the new main process", async () => {
    const { fake, upgrader } = await owner();
    await upgrader.ready();
    const upgrade = upgrader.upgrade();
    const child = await fake.child();
    await child.ready();
    await child.owned();
    await upgrade;
    await fake.settle();
    assert.deepEqual(told(fake).slice(2), [
      {
        RELOADING: "1",
        MONOTONIC_USEC: "now",
        STATUS: "Upgrading: generation 2 is started",
        EXTEND_TIMEOUT_USEC: "65000000",
      },
      { STATUS: "Upgrading: generation 2 initialises" },
      {
        MAINPID: String(child.pid),
        READY: "1",
        STATUS: "Generation 2 serves, generation 1 drains",
      },
    ]);
    await upgrader.drain();
    await fake.settle();
    assert.equal(fake.notified.length, 5, "whoever leaves is silent");
    assert.equal(fake.fails, false);
  });

  test("of an upgrade that failed, in one line, and that this is the main process", async () => {
    const { fake, upgrader } = await owner();
    await upgrader.ready();
    const upgrade = upgrader.upgrade().catch(() => {});
    const child = await fake.child();
    await child.fail("no\ndatabase");
    await child.exit(1);
    await upgrade;
    await fake.settle();
    const last = told(fake).at(-1);
    assert.equal(last?.["MAINPID"], String(fake.pid));
    assert.equal(last?.["READY"], "1");
    assert.match(
      last?.["STATUS"] ?? "",
      /^Generation 1 .* serves; the upgrade failed: .*no database$/,
    );
  });

  test("that it stops, and how long that may take", async () => {
    const { fake, upgrader } = await owner({ drainTimeoutMs: 20_000 });
    await upgrader.ready();
    upgrader.stop();
    await fake.settle();
    assert.deepEqual(told(fake).at(-1), {
      STOPPING: "1",
      STATUS: "Generation 1 stops, its connections finish",
      EXTEND_TIMEOUT_USEC: "25000000",
    });
  });

  test("that the old process is the main one again, and fails, when its successor dies as the owner", async () => {
    const { fake, upgrader } = await owner();
    await upgrader.ready();
    const upgrade = upgrader.upgrade();
    const child = await fake.child();
    await child.ready();
    await child.owned();
    await upgrade;
    await child.exit(1);
    await fake.settle();
    const { MAINPID, STOPPING } = told(fake).at(-1)!;
    assert.deepEqual({ MAINPID, STOPPING }, { MAINPID: String(fake.pid), STOPPING: "1" });
    assert.equal(fake.fails, true);
  });

  test("nothing when the successor was replaced or stopped before it ended", async () => {
    const { fake, upgrader } = await owner();
    await upgrader.ready();
    const upgrade = upgrader.upgrade();
    const child = await fake.child();
    await child.ready();
    await child.owned();
    await upgrade;
    await child.send({ type: "left" });
    await fake.settle();
    const before = fake.notified.length;
    await child.exit(1);
    await fake.settle();
    assert.equal(fake.notified.length, before);
    assert.equal(fake.fails, false);
  });

  test("nothing without NOTIFY_SOCKET, with systemd: false, or where the socket is none", async () => {
    const { fake: without } = await owner({}, { NOTIFY_SOCKET: "" });
    const { fake: off } = await owner({ systemd: false });
    const { fake: other, warnings } = await owner({}, { NOTIFY_SOCKET: "vsock:2:1234" });
    for (const fake of [without, off, other]) assert.deepEqual(fake.notified, []);
    assert.match(warnings.join(), /NOTIFY_SOCKET is "vsock:2:1234"/);
  });
});

describe("a successor", () => {
  test("says that it is the main process, and has that thought over when its parent is gone", async () => {
    const parent = fakeParent({ env: SOCKET, hello: { generation: 2 } });
    const upgrader = await Upgrader.create({ backend: parent.child.backend, logger: false });
    const { child: fake } = parent;
    const ready = upgrader.ready();
    await fake.settle();
    await parent.commit();
    await ready;
    await fake.settle();
    assert.deepEqual(told(fake), [
      { STATUS: "Generation 2 initialises" },
      {
        MAINPID: String(fake.pid),
        READY: "1",
        STATUS: "Generation 2 (node 1.2.3) serves",
      },
    ]);
    await parent.exit();
    await fake.clock.advance(1_000);
    await fake.settle();
    if (fake.ran.length === 0) return; // there is no systemd-notify on this machine
    const [helper, self] = told(fake).slice(2);
    assert.notEqual(helper?.["MAINPID"], String(fake.pid));
    assert.deepEqual(self, {
      MAINPID: String(fake.pid),
      STATUS: "Generation 2 (node 1.2.3) serves alone",
    });
  });

  test("that is called off tells nothing: it never was the main process", async () => {
    const parent = fakeParent({ env: SOCKET, hello: { generation: 2 } });
    const upgrader = await Upgrader.create({ backend: parent.child.backend, logger: false });
    const ready = upgrader.ready().catch(() => {});
    await parent.child.settle();
    await parent.abort("too late");
    await ready;
    await parent.child.settle();
    assert.deepEqual(told(parent.child), [{ STATUS: "Generation 2 initialises" }]);
  });
});

describe("a watchdog", () => {
  const pings = (fake: Fake) => told(fake).filter(({ WATCHDOG }) => WATCHDOG === "1").length;

  test("is answered twice in its time by the owner, from ready() until it is replaced", async () => {
    const { fake, upgrader } = await owner({}, { WATCHDOG_USEC: "10000000" });
    await fake.clock.advance(20_000);
    assert.equal(pings(fake), 0);
    await upgrader.ready();
    await fake.clock.advance(20_000);
    await fake.settle();
    assert.equal(pings(fake), 5);
    const upgrade = upgrader.upgrade();
    const child = await fake.child();
    await child.ready();
    await child.owned();
    await upgrade;
    await fake.clock.advance(20_000);
    await fake.settle();
    assert.equal(pings(fake), 5);
  });

  test("of another process is not answered, one that is no number is warned of", async () => {
    const { fake, upgrader } = await owner({}, { WATCHDOG_USEC: "1000000", WATCHDOG_PID: "1" });
    await upgrader.ready();
    await fake.clock.advance(5_000);
    assert.equal(pings(fake), 0);
    assert.match(
      (await owner({}, { WATCHDOG_USEC: "soon" })).warnings.join(),
      /WATCHDOG_USEC is "soon"/,
    );
  });
});
