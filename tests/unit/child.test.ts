import assert from "node:assert/strict";
import { test } from "node:test";
import type { Backend, SpawnRequest } from "../../src/backend/backend.ts";
import { Child, reportedFailure, toError, toFailure } from "../../src/child.ts";
import { UpgradeError } from "../../src/errors.ts";
import { ENV_NAME, type HelloFrame } from "../../src/protocol.ts";
import { type Fake, fakeBackend, type FakeChild } from "../../src/testing/mod.ts";

const HELLO: HelloFrame = {
  type: "hello",
  v: 1,
  generation: 2,
  pid: 1,
  runtime: "node",
  sockets: [],
  deadlineMs: 1000,
  probationMs: 0,
  draining: [],
};

interface Rig {
  readonly fake: Fake;
  readonly child: Child;
  readonly process: FakeChild;
  readonly told: string[];
}

function requestOf(fake: Fake, changes: Partial<SpawnRequest> = {}): SpawnRequest {
  const { facts } = fake.backend;
  return {
    command: [facts.program],
    cwd: facts.cwd,
    env: { [ENV_NAME]: "{}" },
    fds: [],
    ...changes,
  };
}

async function started(): Promise<Rig> {
  const fake = fakeBackend();
  const told: string[] = [];
  const child = await Child.start(fake.backend, requestOf(fake), HELLO, {
    frame: ({ type }) => void told.push(type),
    failed: ({ code, message }) => void told.push(`${code} ${message}`),
    exited: ({ code, message }) => void told.push(`${code} ${message}`),
  });
  return { fake, child, process: await fake.child(), told };
}

test("a child is greeted first of all", async () => {
  const { child, process } = await started();
  assert.equal(child.pid, process.pid);
  assert.deepEqual(process.frames, [HELLO]);
});

test("frames are told in order, those of an unknown type are not", async () => {
  const { process, told } = await started();
  await process.ready();
  await process.sendBytes('{"v":1,"type":"future"}\n');
  await process.owned();
  assert.deepEqual(told, ["ready", "owned"]);
});

test("garbage is told once, and nothing that follows it", async () => {
  const { process, told } = await started();
  await process.sendBytes("garbage\n");
  await process.sendBytes("more\n");
  await process.owned();
  assert.equal(told.length, 1);
  assert.match(told[0] ?? "", /^ERR_PROTOCOL Cannot understand the other process: .*not JSON/);
});

test("an exit is told once, with its code, after the last words", async () => {
  const { process, told, fake } = await started();
  await Promise.all([process.fail("no"), process.exit(4)]);
  await fake.clock.advance(2000);
  assert.equal(told[0], "fail");
  assert.match(told[1] ?? "", /ERR_CHILD_EXITED .*exited with code 4 before/);
  assert.equal(told.length, 2);
});

test("an end by a signal is told with its name", async () => {
  const { process, told } = await started();
  await process.exit("SIGKILL");
  assert.match(told[0] ?? "", /was ended by SIGKILL/);
});

test("an exit is told although somebody else holds the channel open", async () => {
  const fake = fakeBackend();
  const told: string[] = [];
  // A process that has ended, whose channel has not.
  const { backend } = fake;
  const spawn = async (request: SpawnRequest) => {
    const process = await backend.spawn(request);
    return { ...process, channel: silentChannel() };
  };
  const holding: Backend = Object.create(backend, { spawn: { value: spawn } });
  await Child.start(holding, requestOf(fake), HELLO, {
    frame() {},
    failed() {},
    exited: ({ code }) => void told.push(code),
  });
  await fake.children[0]?.exit(0);
  assert.deepEqual(told, []);
  await fake.clock.advance(250);
  assert.deepEqual(told, ["ERR_CHILD_EXITED"]);
});

test("a closed channel of a living child is a failure after a second", async () => {
  const { process, told, fake } = await started();
  await process.closeChannel();
  await fake.clock.advance(999);
  assert.deepEqual(told, []);
  await fake.clock.advance(1);
  assert.match(told[0] ?? "", /ERR_CHILD_FAILED .*must not close descriptor 3/);
});

test("signals reach it while it lives, and go nowhere afterwards", async () => {
  const { child, process } = await started();
  process.ignore("SIGTERM");
  child.kill("SIGTERM");
  assert.deepEqual(process.signals, ["SIGTERM"]);
  await process.exit(0);
  child.kill("SIGKILL");
  child.send({ type: "commit" });
  assert.deepEqual(process.signals, ["SIGTERM"]);
});

test("after release its end is not told, nothing is kept alive, and the channel stays for what it says", async () => {
  const { child, process, told, fake } = await started();
  assert.deepEqual(fake.keptAliveBy, [`channel to ${process.pid}`, `child ${process.pid}`]);
  child.release();
  assert.deepEqual(fake.keptAliveBy, []);
  await process.owned();
  assert.deepEqual(told, ["owned"]);
  assert.deepEqual(fake.descriptors, ["3 channel"]);
  await process.exit(0);
  await fake.clock.advance(2000);
  assert.deepEqual(told, ["owned"]);
  assert.deepEqual(fake.descriptors, []);
});

test("a greeting that is too long is refused before a process is started", async () => {
  const fake = fakeBackend();
  const sockets = Array.from({ length: 400 }, (_, index) => ({
    fd: 4 + index,
    kind: "unix" as const,
    identity: `${index}`.padEnd(4096, "x"),
    address: "",
  }));
  const observer = { frame() {}, failed() {}, exited() {} };
  await assert.rejects(
    Child.start(fake.backend, requestOf(fake), { ...HELLO, sockets }, observer),
    { code: "ERR_PROTOCOL" },
  );
  assert.equal(fake.children.length, 0);
});

test("a process that cannot be started rejects ERR_SPAWN and leaves nothing", async () => {
  const fake = fakeBackend();
  const request = requestOf(fake, { command: ["/nowhere/node"] });
  const observer = { frame() {}, failed() {}, exited() {} };
  await assert.rejects(Child.start(fake.backend, request, HELLO, observer), { code: "ERR_SPAWN" });
  assert.deepEqual(fake.descriptors, []);
});

test("failures and errors turn into each other without loss", () => {
  const failure = { code: "ERR_CHILD_EXITED", message: "gone", exitCode: 3 } as const;
  const error = toError(failure, "cause");
  assert.ok(error instanceof UpgradeError);
  assert.deepEqual([error.code, error.exitCode, error.cause], ["ERR_CHILD_EXITED", 3, "cause"]);
  assert.equal("cause" in toError(failure), false);

  const told = toFailure(new UpgradeError("ERR_ADOPT", "no", { childOutput: "tail" }), "ERR_SPAWN");
  assert.deepEqual(told, { code: "ERR_ADOPT", message: "no", childOutput: "tail" });
  const strange = toFailure(new TypeError("x is undefined"), "ERR_SPAWN");
  assert.equal(strange.code, "ERR_SPAWN");
  assert.match(strange.childOutput ?? "", /child\.test/);
  assert.deepEqual(toFailure("text", "ERR_SPAWN"), { code: "ERR_SPAWN", message: "text" });

  assert.equal(reportedFailure("no", "").childOutput, undefined);
  assert.equal(reportedFailure("no", "at x").childOutput, "at x");
});

/** A channel that never says anything. */
function silentChannel() {
  return {
    write() {},
    writeSync() {},
    onData() {},
    onEnd() {},
    keepAlive() {},
    close() {},
  };
}
