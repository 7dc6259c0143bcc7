// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fakeBackend } from "../../src/testing/mod.ts";
import { Upgrader } from "../../src/upgrader.ts";
import { until } from "../support/chain.ts";
import { control } from "../support/control_client.ts";
import { failed, FakeServer, joining, outcome, refused, serving } from "../support/fake_app.ts";

const limit = { timeout: 60_000 };

function pathsFor(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, path: join(folder, "c.sock"), pidFile: join(folder, "app.pid") };
}

/** What the other process of an upgrade does: a socket of its own is at the path from now on. */
async function usurp(t: TestContext, path: string): Promise<net.Server> {
  const server = net.createServer((socket) => void socket.destroy());
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(`${path}.other`, resolve));
  renameSync(`${path}.other`, path);
  return server;
}

const pidOf = async (path: string) => (await control(path, "GET", "/status")).json.pid;

test("create refuses a control socket that can never be bound", limit, async (t) => {
  const { folder, path } = pathsFor(t);
  const { backend } = fakeBackend();
  writeFileSync(path, "precious");
  for (const bad of [path, join(folder, "nowhere/c.sock")]) {
    await refused(Upgrader.create({ backend, control: bad }), "ERR_ADDRESS");
  }
  assert.equal(readFileSync(path, "utf8"), "precious");
});

test(
  "a first generation that is refused its control socket is not ready, and names itself nowhere",
  limit,
  async (t) => {
    const { folder, path, pidFile } = pathsFor(t);
    const { backend } = fakeBackend({
      // After the first look and before the socket is bound.
      onOpen: () => {
        if (!existsSync(`${path}.mended`)) writeFileSync(path, "precious");
      },
    });
    const upgrader = await Upgrader.create({ backend, control: path, pidFile, logger: false });
    await upgrader.listen(8080, new FakeServer());
    const error = await refused(upgrader.ready(), "ERR_ADDRESS");
    assert.match(error.message, /a file is there/);
    assert.deepEqual(readdirSync(folder), ["c.sock"]);
    // What is wrong can be mended, and ready() called again.
    renameSync(path, `${path}.mended`);
    await upgrader.ready();
    assert.equal(await pidOf(path), backend.pid);
    upgrader.stop();
    await upgrader.drain();
    assert.deepEqual(readdirSync(folder), ["c.sock.mended"]);
  },
);

test(
  "a path that another process serves is refused before anything is accepted",
  limit,
  async (t) => {
    const { path, pidFile } = pathsFor(t);
    await usurp(t, path);
    const fake = fakeBackend();
    const upgrader = await Upgrader.create({ backend: fake.backend, control: path, pidFile });
    await upgrader.listen(8080, new FakeServer());
    const error = await refused(upgrader.ready(), "ERR_ADDRESS");
    assert.match(error.message, /another process serves it/);
    assert.deepEqual(fake.listeners.map(({ state }) => state), ["paused"]);
    assert.equal(existsSync(pidFile), false);
  },
);

test("a child that is refused its control socket fails the upgrade", limit, async (t) => {
  const { path } = pathsFor(t);
  // Its parent has none, so this is somebody else's.
  const stranger = await usurp(t, path);
  const before = await joining({ control: path });
  await failed(outcome(before.upgrader.ready()), "ERR_ADDRESS");
  await until("the parent is told", () => before.parent.frames.length > 2);
  assert.deepEqual(before.parent.frames.map(({ type }) => type), ["joined", "fail", "ready"]);
  await new Promise((resolve) => stranger.close(resolve));

  const after = await joining({ control: path });
  const ready = outcome(after.upgrader.ready());
  await until("it is ready", () => after.parent.frames.length > 1);
  if (existsSync(path)) unlinkSync(path);
  writeFileSync(path, "precious");
  await after.parent.commit();
  await failed(ready, "ERR_ADDRESS");
  assert.deepEqual(after.parent.frames.map(({ type }) => type), ["joined", "ready", "fail"]);
  assert.equal(await after.upgrader.exit, "stopped");
  await after.upgrader.drain();
  assert.equal(readFileSync(path, "utf8"), "precious");
});

test(
  "a child whose parent is gone serves without a control socket it is refused",
  limit,
  async (t) => {
    const { path, pidFile } = pathsFor(t);
    const { parent, upgrader, lines } = await joining({ control: path, pidFile });
    const ready = upgrader.ready();
    await until("it is ready", () => parent.frames.length > 1);
    writeFileSync(path, "precious");
    await parent.exit("SIGKILL");
    await ready;
    assert.equal(upgrader.status().state, "serving");
    assert.ok(existsSync(pidFile));
    assert.match(lines.join(), /error: Cannot use control socket .* a file is there/);
    upgrader.stop();
    await upgrader.drain();
  },
);

test("a parent whose child dies with the names in its hands takes them back", limit, async (t) => {
  const { folder, path, pidFile } = pathsFor(t);
  const { fake, upgrader } = await serving({ control: path, pidFile });
  const asked = control(path, "POST", "/upgrade");
  const child = await fake.child();
  assert.equal(child.hello.control, path);
  await child.ready();
  await usurp(t, path);
  writeFileSync(pidFile, "1\n");
  await child.exit(9);
  const { status, json } = await asked;
  assert.equal(status, 502);
  assert.deepEqual([json.error.code, json.error.exitCode], ["ERR_CHILD_EXITED", 9]);
  assert.equal(await pidOf(path), fake.pid);
  assert.equal(readFileSync(pidFile, "utf8"), `${fake.pid}\n`);
  upgrader.stop();
  await upgrader.drain();
  assert.deepEqual(readdirSync(folder), []);
});

test(
  "a parent whose successor has another control socket, or none, removes its own",
  limit,
  async (t) => {
    const { folder, path } = pathsFor(t);
    const { fake, upgrader } = await serving({ control: path });
    const upgrade = upgrader.upgrade();
    const child = await fake.child();
    await child.ready();
    await child.owned();
    await upgrade;
    await upgrader.drain();
    assert.deepEqual(readdirSync(folder), []);
  },
);

test("counters go to the successor, also those that come from further back", limit, async (t) => {
  const { path } = pathsFor(t);
  const { fake, parent, upgrader } = await joining({ control: path, logger: false });
  const ready = upgrader.ready();
  await until("it is ready", () => parent.frames.length > 1);
  await parent.commit();
  await ready;
  await parent.send({
    type: "history",
    records: [],
    totals: { upgrades: { upgraded: 4 }, cut: 1 },
  });
  const { text } = await control(path, "GET", "/metrics");
  assert.match(text, /^changeover_upgrades_total\{result="upgraded"\} 4$/m);
  const upgrade = upgrader.upgrade();
  const child = await fake.child();
  await child.ready();
  await child.owned();
  await upgrade;
  const told = () => child.frames.filter((frame) => frame.type === "history").at(-1)?.totals;
  await until("the successor is told", () => told() !== undefined);
  assert.deepEqual(told()?.["upgrades"], { upgraded: 5 });
  // The grandparent has drained meanwhile.
  await parent.send({
    type: "history",
    records: [],
    totals: { upgrades: { upgraded: 4 }, cut: 3 },
  });
  await until("that is told on", () => told()?.["cut"] === 3);
  await upgrader.drain();
});
