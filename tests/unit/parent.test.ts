import assert from "node:assert/strict";
import { test } from "node:test";
import { Parent, readInvitation } from "../../src/parent.ts";
import { type FakeParent, fakeParent, type FakeParentOptions } from "../../src/testing/mod.ts";
import { isPending, outcome } from "../support/fake_app.ts";

function join(options: FakeParentOptions = {}): {
  readonly played: FakeParent;
  readonly joining: Promise<Parent | undefined>;
  readonly warnings: readonly string[];
} {
  const played = fakeParent(options);
  const { backend } = played.child;
  const warnings: string[] = [];
  const invitation = readInvitation(backend, (message) => void warnings.push(message));
  assert.ok(invitation !== undefined);
  return { played, joining: Parent.join(backend, invitation), warnings };
}

function observed(parent: Parent | undefined): string[] {
  const told: string[] = [];
  parent?.observe({
    frame: ({ type }) => void told.push(type),
    garbled: (error) => void told.push((error as Error).message),
    gone: () => void told.push("gone"),
  });
  return told;
}

test("the invitation is read once and removed", () => {
  const { backend } = fakeParent().child;
  assert.equal(readInvitation(backend, assert.fail)?.fd, 3);
  assert.equal(backend.env["CHANGEOVER"], undefined);
  assert.equal(readInvitation(backend, assert.fail), undefined);
});

test("the invitation of a parent that is dead is accepted by whoever holds the channel", async () => {
  const played = fakeParent();
  await played.exit("SIGKILL");
  const { backend } = played.child;
  assert.equal(backend.parentPid(), 1);
  const invitation = readInvitation(backend, assert.fail);
  assert.ok(invitation !== undefined);
  // It had greeted before it died.
  const parent = await Parent.join(backend, invitation);
  assert.equal(parent?.hello.generation, 2);
  await played.child.settle();
  assert.deepEqual(observed(parent), ["gone"]);
});

test("join waits for hello", async () => {
  const { played, joining } = join({ greets: false });
  assert.equal(await isPending(played.child, joining), true);
  await played.hello();
  assert.equal((await joining)?.hello.pid, played.pid);
  assert.equal(played.child.clock.pending, 0);
});

test("what happened before somebody watched is told in order", async () => {
  const { played, joining } = join();
  const parent = await joining;
  await played.probation();
  await played.sendBytes("?\n");
  const told = observed(parent);
  assert.equal(told.length, 2);
  assert.equal(told[0], "probation");
  assert.match(told[1] ?? "", /not JSON/);
  await played.exit(0);
  assert.equal(told[2], "gone");
});

test("hello that is cut in two is one hello", async () => {
  const { played, joining } = join({ greets: false });
  const bytes = new TextEncoder().encode(
    JSON.stringify({
      v: 1,
      type: "hello",
      generation: 5,
      pid: 9,
      runtime: "go",
      sockets: [],
      deadlineMs: 1,
      probationMs: 2,
      draining: [],
    }) + "\n",
  );
  await played.sendBytes(bytes.subarray(0, 40));
  assert.equal(await isPending(played.child, joining), true);
  await played.sendBytes(bytes.subarray(40));
  assert.equal((await joining)?.hello.runtime, "go");
});

test("a parent that dies before hello leaves no descriptor behind", async () => {
  const { played, joining } = join({
    greets: false,
    sockets: [{ identity: "a", address: "[::1]:1" }, { identity: "b", address: "[::1]:2" }],
  });
  await played.exit(1);
  assert.equal(await joining, undefined);
  assert.deepEqual(played.child.descriptors, []);
});

test("a refusal says fail, closes the channel and rejects ERR_PROTOCOL", async () => {
  for (const wrong of ["x\n", '{"v":1,"type":"owned"}\n', '{"v":9,"type":"hello"}\n']) {
    const { played, joining } = join({ greets: false });
    const held = outcome(joining);
    await played.sendBytes(wrong);
    assert.equal((await held).error?.code, "ERR_PROTOCOL");
    assert.deepEqual(played.frames.map(({ type }) => type), ["fail"]);
    assert.deepEqual(played.child.descriptors, []);
    assert.equal(played.child.clock.pending, 0);
  }
});

test("frames reach the parent until it is gone", async () => {
  const { played, joining } = join();
  const parent = await joining;
  parent?.send({ type: "owned" });
  parent?.sendSync({ type: "fail", message: "x", stack: "" });
  await played.exit(0);
  observed(parent);
  await played.child.settle();
  parent?.send({ type: "owned" });
  parent?.sendSync({ type: "owned" });
  assert.deepEqual(played.frames.map(({ type }) => type), ["joined", "owned", "fail"]);
});

test("close ends the channel, and keepAlive says whether it holds the process", async () => {
  const { played, joining } = join();
  const parent = await joining;
  const { child } = played;
  assert.deepEqual(child.keptAliveBy, ["channel to the parent"]);
  parent?.keepAlive(false);
  assert.deepEqual(child.keptAliveBy, []);
  parent?.close();
  await child.settle();
  assert.deepEqual(child.descriptors, []);
  parent?.send({ type: "owned" });
  assert.deepEqual(played.frames, [{ type: "joined" }]);
});
