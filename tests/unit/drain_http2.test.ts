import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import { describe, test } from "node:test";
import { type DrainPlan, runDrain } from "../../src/drain/drain.ts";
import { type Notice, watchHttp2 } from "../../src/drain/http2.ts";
import { type Fake, fakeBackend } from "../../src/testing/mod.ts";
import { FakeConnection } from "../support/fake_app.ts";

const PLAN: DrainPlan = { timeoutMs: 30_000, spreadMs: 0, idleGraceMs: 5000 };
/** A session that ends when it was closed and no stream is open. */
class FakeSession extends EventEmitter {
  readonly calls: string[] = [];
  destroyed = false;
  closed = false;
  pong: (() => void) | undefined;
  readonly streams = new Set<EventEmitter>();

  goaway(code: number, last: number): void {
    this.calls.push(`goaway ${code} ${last}`);
  }

  ping(callback: () => void): boolean {
    this.pong = callback;
    return true;
  }

  close(): void {
    this.closed = true;
    this.calls.push("close");
    this.#end();
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
  }

  open(): { finish(rstCode?: number): void } {
    const stream = Object.assign(new EventEmitter(), { rstCode: 0 });
    this.streams.add(stream);
    this.emit("stream", stream);
    return {
      finish: (rstCode = 0) => {
        stream.rstCode = rstCode;
        this.streams.delete(stream);
        stream.emit("close");
        this.#end();
      },
    };
  }

  #end(): void {
    if (this.closed && this.streams.size === 0) this.destroy();
  }
}

interface Rig {
  readonly fake: Fake;
  readonly server: EventEmitter;
  readonly connect: () => { session: FakeSession; connection: FakeConnection };
  readonly drain: (plan?: Partial<DrainPlan>) => ReturnType<typeof runDrain>;
}

function rig(tls = false, notice: Notice = "frame"): Rig {
  const fake = fakeBackend();
  const server = new EventEmitter();
  server.on(tls ? "secureConnection" : "connection", (connection) => {
    if (!tls || connection.alpnProtocol === "h2") server.emit("session", new FakeSession());
  });
  const drainable = watchHttp2(server as never, notice);
  return {
    fake,
    server,
    connect: () => {
      const connection = Object.assign(new FakeConnection(), { alpnProtocol: "h2" });
      let session!: FakeSession;
      server.once("session", (made: FakeSession) => session = made);
      server.emit(tls ? "secureConnection" : "connection", connection);
      return { session, connection };
    },
    drain: (plan = {}) =>
      runDrain([{ identity: "tcp:*:80", drainable }], { ...PLAN, ...plan }, fake.clock),
  };
}

/** Whether a client was given notice. */
const noticed = ({ session, connection }: { session: FakeSession; connection: FakeConnection }) =>
  session.calls[0] === "goaway 0 2147483647" ||
  connection.written.map((bytes) => Buffer.from(bytes as Uint8Array).toString("hex")).join() ===
    "0000080700000000007fffffff00000000";

describe("an HTTP/2 session", () => {
  for (const [notice, tls] of [["frame", false], ["goaway", false], ["goaway", true]] as const) {
    test(`is given notice by a ${notice}${tls ? " over TLS" : ""} while a request is answered, and is closed after a round trip`, async () => {
      const { connect, drain, fake } = rig(tls, notice);
      const one = connect();
      const running = drain();
      await fake.clock.advance(100);
      assert.ok(!noticed(one));
      const asked = one.session.open();
      assert.ok(noticed(one));
      assert.ok(!one.session.calls.includes("close"));
      asked.finish();
      const late = one.session.open();
      one.session.pong?.();
      await fake.clock.advance(0);
      assert.equal(one.session.calls.at(-1), "close");
      assert.equal(one.session.destroyed, false);
      late.finish();
      const { connections, served, closedPolitely, cut } = await running.report;
      assert.deepEqual([connections, served, closedPolitely, cut], [1, 2, 1, 0]);
    });
  }

  test("is closed after the grace when it is idle", async () => {
    const { connect, drain, fake } = rig();
    const { session } = connect();
    drain();
    await fake.clock.advance(4999);
    assert.equal(session.closed, false);
    await fake.clock.advance(1);
    assert.equal(session.closed, true);
  });

  test("has its turn within the spread", async () => {
    const { connect, drain, fake } = rig();
    const all = [connect(), connect(), connect(), connect()];
    for (const { session } of all) session.open();
    drain({ spreadMs: 400 });
    const told: number[] = [];
    for (let now = 0; now < 400; now += 100) {
      await fake.clock.advance(now === 0 ? 0 : 100);
      told.push(all.filter(noticed).length);
    }
    assert.deepEqual(told, [1, 2, 3, 4]);
  });

  test("that was accepted late is told too", async () => {
    const { connect, drain, fake } = rig();
    connect();
    drain({ spreadMs: 100 });
    const late = connect();
    late.session.open();
    await fake.clock.advance(100);
    assert.ok(noticed(late));
  });

  test("is cut at the deadline, and its streams were not served", async () => {
    const { connect, drain, fake } = rig();
    const { session } = connect();
    const stuck = session.open();
    session.open().finish(8);
    const running = drain({ timeoutMs: 2000 });
    await fake.clock.advance(2000);
    assert.equal(session.destroyed, true);
    stuck.finish(8);
    const { served, cut, closedPolitely } = await running.report;
    assert.deepEqual([served, cut, closedPolitely], [0, 1, 0]);
  });
});

for (
  const [what, tls, notice] of [
    ["an encrypted HTTP/2 session", true, "frame"],
    ["an HTTP/2 session that cannot be given notice", false, "none"],
  ] as const
) {
  describe(what, () => {
    test("is closed while its only request is answered", async () => {
      const { connect, drain, fake } = rig(tls, notice);
      const [idle, busy] = [connect(), connect()];
      const request = busy.session.open();
      drain();
      await fake.clock.advance(0);
      assert.deepEqual([idle.session.closed, busy.session.closed], [false, true]);
      request.finish();
      assert.equal(busy.session.destroyed, true);
      const next = idle.session.open();
      assert.deepEqual([idle.session.closed, idle.session.destroyed], [true, false]);
      next.finish();
      assert.equal(idle.session.destroyed, true);
      assert.equal(idle.connection.written.length + busy.connection.written.length, 0);
    });

    test("that always has several requests is closed after the grace", async () => {
      const { connect, drain, fake } = rig(tls, notice);
      const { session } = connect();
      session.open();
      session.open();
      drain();
      await fake.clock.advance(4999);
      session.open();
      assert.equal(session.closed, false);
      await fake.clock.advance(1);
      assert.equal(session.closed, true);
    });
  });
}

test("connections that speak HTTP/1.1 with an HTTP/2 server are drained as such", async () => {
  const { server, connect, drain, fake } = rig(true);
  connect().session.destroy();
  const old = Object.assign(new FakeConnection(), { alpnProtocol: "http/1.1" });
  server.emit("secureConnection", old);
  const running = drain({ idleGraceMs: 1000 });
  await fake.clock.advance(1000);
  assert.equal(old.ended, true);
  old.destroy();
  const { connections, closedIdle } = await running.report;
  assert.deepEqual([connections, closedIdle], [1, 1]);
});
