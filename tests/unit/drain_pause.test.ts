import assert from "node:assert/strict";
import { test } from "node:test";
import { watchApplication } from "../../src/drain/application.ts";
import { type DrainPlan, type NamedDrainable, runDrain } from "../../src/drain/drain.ts";
import { watchHttp } from "../../src/drain/http.ts";
import { runPause } from "../../src/drain/pause.ts";
import { type Fake, fakeBackend } from "../../src/testing/mod.ts";
import { FakeHttpServer } from "../support/fake_http.ts";

const PLAN: DrainPlan = { timeoutMs: 10_000, spreadMs: 100, idleGraceMs: 2000 };
const settled = Promise.resolve();

function rig() {
  const fake = fakeBackend();
  const server = new FakeHttpServer();
  const servers: NamedDrainable[] = [{ identity: "a", drainable: watchHttp(server as never) }];
  return { fake, server, servers };
}

/** Whether a promise is settled. */
async function isDone(fake: Fake, promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.then(() => done = true);
  await fake.settle();
  return done;
}

test("a pause tells clients to reconnect as a drain does, and is over when the last is gone", async () => {
  const { fake, server, servers } = rig();
  const [busy, idle] = [server.connect(), server.connect()];
  const response = server.request(busy);
  const pause = runPause(servers, PLAN, fake.clock, settled);
  await fake.clock.advance(100);
  response.finish();
  assert.equal(response.saysGoodbye, true);
  await fake.clock.advance(2000);
  assert.equal(idle.ended, true);
  idle.destroy();
  const { connections, served, closedIdle, closedPolitely, cut } = await pause.quiet;
  assert.deepEqual(
    { connections, served, closedIdle, closedPolitely, cut },
    { connections: 2, served: 1, closedIdle: 1, closedPolitely: 1, cut: 0 },
  );
});

test("a pause cuts nothing; a process that goes on serves what is left as before, and can drain later", async () => {
  const { fake, server, servers } = rig();
  const connection = server.connect();
  const slow = server.request(connection);
  const pause = runPause(servers, PLAN, fake.clock, settled);
  await fake.clock.advance(9_999);
  assert.equal(await isDone(fake, pause.quiet), false);
  await fake.clock.advance(1);
  assert.equal((await pause.quiet).cut, 0);
  assert.equal(connection.destroyed, false);
  pause.end();
  slow.finish();
  assert.equal(slow.saysGoodbye, false, "the pause is over");
  assert.equal(server.serve(connection), false);
  await fake.clock.advance(60_000);
  assert.equal(connection.ended, false, "nobody sweeps any more");
  assert.equal(fake.clock.pending, 0);
  const drain = runDrain(servers, PLAN, fake.clock);
  await fake.clock.advance(100);
  assert.equal(server.serve(connection), true);
  const { served, closedPolitely, cut } = await drain.report;
  assert.deepEqual({ served, closedPolitely, cut }, { served: 1, closedPolitely: 1, cut: 0 });
});

test("work of the application is asked to finish once while it is under way, and again after it", async () => {
  const fake = fakeBackend();
  const calls: (() => void)[] = [];
  const servers: NamedDrainable[] = [{
    identity: "jobs",
    drainable: watchApplication(
      "jobs",
      () => new Promise<void>((resolve) => calls.push(resolve)),
      {},
      () => {},
    ),
  }];
  const first = runPause(servers, PLAN, fake.clock, settled);
  await fake.clock.advance(PLAN.timeoutMs);
  first.end();
  const second = runPause(servers, PLAN, fake.clock, settled);
  assert.equal(calls.length, 1, "the first call is still under way");
  calls[0]?.();
  await second.quiet;
  second.end();
  const drain = runDrain(servers, PLAN, fake.clock);
  assert.equal(calls.length, 2);
  calls[1]?.();
  assert.equal((await drain.report).cut, 0);
});
