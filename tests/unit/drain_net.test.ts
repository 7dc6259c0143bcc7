import assert from "node:assert/strict";
import { test } from "node:test";
import type { Listener } from "../../src/backend/backend.ts";
import {
  type Drainable,
  type DrainPlan,
  type NamedDrainable,
  runDrain,
  watch,
} from "../../src/drain/drain.ts";
import { watchCounted } from "../../src/drain/native.ts";
import { watchNet } from "../../src/drain/net.ts";
import { fakeBackend } from "../../src/testing/mod.ts";
import { FakeServer } from "../support/fake_app.ts";
import { FakeHttpServer } from "../support/fake_http.ts";

const PLAN: DrainPlan = { timeoutMs: 30_000, spreadMs: 800, idleGraceMs: 5000 };

const named = (drainable: Drainable): NamedDrainable => ({ identity: "tcp:*:80", drainable });

test("connections of a net server are waited for, however idle they are", async () => {
  const { clock } = fakeBackend();
  const server = new FakeServer();
  const drainable = watchNet(server);
  const connections = [server.connect(), server.connect()];
  const { report } = runDrain([named(drainable)], PLAN, clock);
  await clock.advance(29_000);
  assert.ok(connections.every(({ ended, destroyed }) => !ended && !destroyed));
  for (const connection of connections) connection.destroy();
  const counts = { connections: 2, served: 0, closedIdle: 0, closedPolitely: 0, cut: 0 };
  assert.deepEqual(await report, {
    ...counts,
    durationMs: 29_000,
    servers: [{ identity: "tcp:*:80", kind: "net", ...counts }],
  });
});

test("connections of a net server are cut at the deadline, and counted", async () => {
  const { clock } = fakeBackend();
  const server = new FakeServer();
  const drainable = watchNet(server);
  const [stays, goes] = [server.connect(), server.connect()];
  const { report } = runDrain([named(drainable)], PLAN, clock);
  goes.destroy();
  await clock.advance(30_000);
  assert.equal(stays.destroyed, true);
  assert.equal((await report).cut, 1);
  assert.equal(clock.pending, 0);
});

test("a connection that was accepted late is waited for too", async () => {
  const { clock } = fakeBackend();
  const server = new FakeServer();
  const drainable = watchNet(server);
  const first = server.connect();
  const { report } = runDrain([named(drainable)], PLAN, clock);
  const late = server.connect();
  first.destroy();
  await clock.advance(100);
  late.destroy();
  assert.equal((await report).durationMs, 100);
});

test("connections that ended before the drain are not of its business", async () => {
  const { clock } = fakeBackend();
  const server = new FakeServer();
  const drainable = watchNet(server);
  server.connect().destroy();
  await clock.advance(0);
  assert.equal((await runDrain([named(drainable)], PLAN, clock).report).connections, 0);
});

test("the deadline is given up once everything is finished", async () => {
  const { clock } = fakeBackend();
  const server = new FakeServer();
  const drainable = watchNet(server);
  const connection = server.connect();
  const { report } = runDrain([named(drainable)], PLAN, clock);
  assert.equal(clock.pending, 1);
  connection.destroy();
  await report;
  assert.equal(clock.pending, 0);
});

/** A listener of which only the server, or the counters, are looked at. */
function listenerOf(parts: Partial<Listener>): Listener {
  return {
    server: {},
    fd: 3,
    bound: { kind: "unix", path: "/a" },
    open: () => Promise.resolve(),
    close() {},
    finish() {},
    ...parts,
  };
}

test("what is no server of node: modules is not watched, unless its connections can be counted", () => {
  for (const server of [undefined, null, {}, { stop() {} }]) {
    assert.equal(watch(listenerOf({ server })), undefined);
  }
  const counters = { connections: () => 7, cut: () => 7 };
  assert.equal(watch(listenerOf(counters))?.connections(), 7);
});

test("a server with a keep-alive timeout is watched as HTTP, any other as it is", async () => {
  const { clock } = fakeBackend();
  for (const [server, closedIdle] of [[new FakeHttpServer(), 1], [new FakeServer(), 0]] as const) {
    const drainable = watch(listenerOf({ server }));
    assert.ok(drainable !== undefined);
    server.connect();
    const { report } = runDrain([named(drainable)], PLAN, clock);
    await clock.advance(30_000);
    assert.equal((await report).closedIdle, closedIdle);
  }
});

test("counted connections are looked at again and again, and cut at the deadline", async () => {
  const { clock } = fakeBackend();
  let open = 3;
  let cuts = 0;
  const counted = {
    connections: () => open,
    count: () => Promise.resolve(open),
    cut() {
      cuts += 1;
      return open;
    },
  };
  const first = runDrain([named(watchCounted(counted))], PLAN, clock);
  await clock.advance(1000);
  open = 0;
  await clock.advance(100);
  assert.equal((await first.report).cut, 0);
  assert.equal(cuts, 0);
  assert.equal(clock.pending, 0);

  open = 2;
  const second = runDrain([named(watchCounted(counted))], PLAN, clock);
  await clock.advance(30_000);
  assert.equal((await second.report).cut, 2);
  await clock.advance(1000);
  assert.equal(clock.pending, 0);
});
