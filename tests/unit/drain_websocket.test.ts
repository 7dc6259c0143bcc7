import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import { type Drainable, type DrainPlan, runDrain } from "../../src/drain/drain.ts";
import { watchHttp } from "../../src/drain/http.ts";
import { runPause } from "../../src/drain/pause.ts";
import { FrameTracker } from "../../src/drain/websocket.ts";
import { type Fake, fakeBackend } from "../../src/testing/mod.ts";
import type { FakeConnection } from "../support/fake_app.ts";
import { FakeHttpServer } from "../support/fake_http.ts";

const PLAN: DrainPlan = { timeoutMs: 30_000, spreadMs: 0, idleGraceMs: 5000 };
const ANSWER = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
const GOODBYE = "880203f4";

/** A frame of a server with a payload of that length. */
function frame(opcode: number, length: number): Buffer {
  const size = length < 126 ? [length] : length < 65_536 ? [126, length >> 8, length & 255] : [
    127,
    0,
    0,
    0,
    0,
    length >>> 24,
    (length >> 16) & 255,
    (length >> 8) & 255,
    length & 255,
  ];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...size]), Buffer.alloc(length, 0x88)]);
}

interface Rig {
  readonly fake: Fake;
  readonly drainable: Drainable;
  readonly open: (upgrade?: string) => FakeConnection;
  readonly drain: (plan?: Partial<DrainPlan>) => ReturnType<typeof runDrain>;
}

function rig(): Rig {
  const fake = fakeBackend();
  const server = new FakeHttpServer();
  server.on("upgrade", () => {});
  const drainable = watchHttp(server as never);
  return {
    fake,
    drainable,
    open: (upgrade = "websocket") => {
      const socket = server.connect();
      server.emit("upgrade", { socket, httpVersionMajor: 1, headers: { upgrade } }, socket);
      return socket;
    },
    drain: (plan = {}) =>
      runDrain([{ identity: "tcp:*:80", drainable }], { ...PLAN, ...plan }, fake.clock),
  };
}

const sent = (socket: FakeConnection) =>
  Buffer.concat(socket.written.map((chunk) => Buffer.from(chunk as Uint8Array))).toString("hex");

describe("the frames that a server writes", () => {
  test("are followed, in whatever pieces they come", () => {
    const stream = Buffer.concat([
      Buffer.from(ANSWER),
      ...[0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000].map((length) => frame(2, length)),
    ]);
    for (const piece of [1, 2, 3, 7, 1000, 65_536, stream.length]) {
      const tracker = new FrameTracker();
      assert.equal(tracker.isSilent, true);
      for (let at = 0; at < stream.length; at += piece) {
        const end = Math.min(stream.length, at + piece);
        tracker.take(stream.subarray(at, end));
        if (end === stream.length - 1) assert.equal(tracker.isBetweenFrames, false);
      }
      assert.equal(tracker.isBetweenFrames, true, `pieces of ${piece}`);
      assert.equal(tracker.isSilent, false);
      assert.equal(tracker.messages, 9);
    }
  });

  test("make messages: several may make one, and a ping is none", () => {
    const tracker = new FrameTracker();
    tracker.take(Buffer.from(ANSWER));
    const fragment = (first: number) => Buffer.from([first, 1, 0x61]);
    const counts = [0x01, 0x89, 0x00, 0x80, 0x8a, 0xc1].map((first) => {
      tracker.take(fragment(first));
      return tracker.messages;
    });
    assert.deepEqual(counts, [0, 0, 0, 1, 1, 2]);
  });

  test("end with a close frame", () => {
    const tracker = new FrameTracker();
    tracker.take(Buffer.from(ANSWER));
    tracker.take(frame(8, 2));
    assert.equal(tracker.isBetweenFrames, false);
  });

  test("are none when the handshake was refused, or when they are masked", () => {
    for (
      const bytes of [
        Buffer.from("HTTP/1.1 401 Unauthorized\r\n\r\n"),
        Buffer.concat([Buffer.from(ANSWER), Buffer.from([0x81, 0x80, 0, 0, 0, 0])]),
        Buffer.alloc(20_000, 0x61),
      ]
    ) {
      const tracker = new FrameTracker();
      tracker.take(bytes);
      tracker.take(frame(1, 0));
      assert.equal(tracker.isBetweenFrames, false);
    }
  });
});

describe("a WebSocket", () => {
  test("is closed with 1012, and is counted when the client has answered", async () => {
    const { open, drain, fake } = rig();
    const socket = open();
    socket.write(ANSWER);
    socket.write(frame(1, 5));
    const running = drain();
    await fake.clock.advance(1000);
    assert.ok(sent(socket).endsWith(GOODBYE));
    socket.destroy();
    const { closedPolitely, closedIdle, cut } = await running.report;
    assert.deepEqual([closedPolitely, closedIdle, cut], [1, 0, 0]);
  });

  test("is told between two frames, never inside of one", async () => {
    const { open, drain, fake } = rig();
    const socket = open();
    socket.write(ANSWER);
    const long = frame(2, 300);
    socket.write(long.subarray(0, 100));
    drain();
    await fake.clock.advance(1000);
    assert.ok(!sent(socket).endsWith(GOODBYE));
    socket.write(long.subarray(100));
    assert.ok(sent(socket).endsWith(long.subarray(-4).toString("hex") + GOODBYE));
  });

  test("is closed behind the next message, however the client goes on; nothing else follows the close frame", async () => {
    const { open, drain, fake } = rig();
    const socket = open();
    socket.write(ANSWER);
    drain();
    for (let ms = 0; ms < 1800; ms += 300) {
      socket.bytesRead += 1;
      await fake.clock.advance(300);
    }
    socket.write(frame(9, 1));
    assert.ok(!sent(socket).includes(GOODBYE), "a ping is no answer");
    socket.write(frame(1, 3));
    assert.ok(sent(socket).endsWith(frame(1, 3).toString("hex") + GOODBYE));
    await new Promise<void>((resolve) => socket.write(frame(1, 4), resolve));
    assert.ok(sent(socket).endsWith(GOODBYE));
  });

  test("of a server that says nothing is closed after a second of silence, or after two, or half of what is left", async () => {
    for (
      const [talking, timeoutMs, ms] of [
        [false, 30_000, 1000],
        [true, 30_000, 2000],
        [true, 3000, 1500],
      ] as const
    ) {
      const { open, drain, fake } = rig();
      const socket = open();
      socket.write(ANSWER);
      drain({ timeoutMs });
      for (let now = 0; now < ms; now += 100) {
        assert.ok(!sent(socket).includes(GOODBYE), `after ${now} ms`);
        if (talking) socket.bytesRead += 1;
        await fake.clock.advance(100);
      }
      assert.ok(sent(socket).endsWith(GOODBYE));
    }
  });

  test("that was waited for stays when the drain comes to nothing", async () => {
    const { open, drainable, fake } = rig();
    const socket = open();
    socket.write(ANSWER);
    const named = [{ identity: "tcp:*:80", drainable }];
    const pause = runPause(named, PLAN, fake.clock, Promise.resolve());
    await fake.clock.advance(0);
    pause.end();
    socket.write(frame(1, 3));
    await fake.clock.advance(10_000);
    assert.ok(!sent(socket).includes(GOODBYE));
  });

  test("whose handshake takes its time is told afterwards", async () => {
    const { open, drain, fake } = rig();
    const socket = open();
    drain();
    await fake.clock.advance(1500);
    socket.write(ANSWER);
    await fake.clock.advance(2000);
    assert.ok(sent(socket).endsWith(GOODBYE));
  });

  test("gets a message and the farewell behind it with one system call", async () => {
    const { open, drain, fake } = rig();
    const socket = open();
    let corked = 0;
    let calls: string[] = [];
    Object.assign(socket, {
      cork: () => void calls.push(`cork ${++corked}`),
      uncork: () => void calls.push(`uncork ${corked--}`),
    });
    socket.write(ANSWER);
    socket.write(frame(1, 200).subarray(0, 50));
    drain();
    await fake.clock.advance(0);
    assert.equal(calls.length, 0, "nothing is held back in the middle of a frame");
    calls = [];
    socket.write(frame(1, 200).subarray(50));
    assert.deepEqual(calls, ["cork 1", "uncork 1"]);
    assert.equal(socket.written.length, 4);
    assert.ok(sent(socket).endsWith(GOODBYE));
  });

  test("whose text comes as strings is followed by its bytes", async () => {
    const { open, drain, fake } = rig();
    const socket = open();
    socket.write(ANSWER);
    socket.write(Buffer.from([0x81, 4]));
    socket.write("éé");
    drain();
    await fake.clock.advance(1000);
    assert.ok(sent(socket).endsWith(GOODBYE));
  });

  test("has its turn within a spread of its own", async () => {
    const { open, drain, fake } = rig();
    const sockets = Array.from({ length: 4 }, () => open());
    for (const socket of sockets) socket.write(ANSWER);
    drain({ webSocketSpreadMs: 400 });
    // Whether one is quiet is seen from its turn on.
    await fake.clock.advance(1000);
    const told: number[] = [];
    for (let now = 0; now < 400; now += 100) {
      await fake.clock.advance(now === 0 ? 0 : 100);
      told.push(sockets.filter((socket) => sent(socket).endsWith(GOODBYE)).length);
    }
    assert.deepEqual(told, [1, 2, 3, 4]);
  });

  test("that is opened while the process drains is told as well", async () => {
    const { open, drain, fake } = rig();
    open().write(ANSWER);
    drain({ webSocketSpreadMs: 400 });
    const late = open();
    late.write(ANSWER);
    await fake.clock.advance(1400);
    assert.ok(sent(late).endsWith(GOODBYE));
  });

  test("whose client does not answer is ended after the grace, unless it is still sending", async () => {
    const { open, drain, fake } = rig();
    const [silent, sending] = [open(), open()];
    for (const socket of [silent, sending]) socket.write(ANSWER);
    drain({ idleGraceMs: 1000 });
    await fake.clock.advance(1000);
    await fake.clock.advance(900);
    sending.bytesRead += 1;
    await fake.clock.advance(100);
    // It may read slowly: what the kernel still holds for it is followed by FIN, not thrown away.
    assert.deepEqual([silent.ended, silent.destroyed], [true, false]);
    assert.deepEqual([sending.ended, sending.destroyed], [false, false]);
    await fake.clock.advance(1000);
    assert.deepEqual([silent.destroyed, sending.ended], [true, true]);
    await fake.clock.advance(1000);
    assert.equal(sending.destroyed, true);
  });

  test("that the server is closing already is left alone", async () => {
    const { open, drain, fake } = rig();
    const socket = open();
    socket.write(ANSWER);
    socket.write(frame(8, 0));
    drain();
    await fake.clock.advance(1000);
    assert.ok(sent(socket).endsWith("8800"));
  });
});

test("another protocol than WebSocket is waited for, and nothing is written into it", async () => {
  const { open, drain, fake } = rig();
  const socket = open("h2c");
  socket.write(ANSWER);
  const running = drain();
  await fake.clock.advance(29_999);
  assert.equal(socket.written.length, 1);
  await fake.clock.advance(1);
  assert.equal((await running.report).cut, 1);
});
