import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  LeaveTaking,
  NativeConnections,
  NativeRequests,
  NativeWebSocket,
  OpenConnection,
  SeenConnections,
} from "../../src/backend/native.ts";
import { runDrain, type RunningDrain } from "../../src/drain/drain.ts";
import { runPause } from "../../src/drain/pause.ts";
import { watchRequests } from "../../src/drain/native_requests.ts";
import { ManualClock } from "../../src/testing/clock.ts";

/** A server that the runtime made, without a runtime. */
class FakeServer implements NativeConnections, NativeRequests {
  readonly clock = new ManualClock();
  /** Connections by client: since when they are quiet. */
  readonly open_ = new Map<string, number>();
  readonly unread = new Set<string>();
  readonly answering = new Set<string>();
  readonly webSockets_: (NativeWebSocket & { readonly key: string })[] = [];
  readonly held: string[] = [];
  unknown = 0;
  served = 0;
  /** What the server can tell apart by itself; `undefined` for one that cannot. */
  idle: string[] | undefined;
  leave: LeaveTaking | undefined;
  /** How long a look takes. */
  looking: Promise<void> = Promise.resolve();

  add(...keys: string[]): void {
    for (const key of keys) this.open_.set(key, this.clock.now());
  }

  /** A request that is answered at once. @returns Whether the client was told to go. */
  ask(key: string, anonymous = false): boolean {
    this.open_.set(key, this.clock.now());
    this.served += 1;
    const response = new Response("");
    const left = this.leave?.(response, anonymous ? undefined : key) ?? response;
    return left.headers.get("connection") === "close";
  }

  webSocket(key: string): { code: number; say(): void } {
    this.add(key);
    let then = () => {};
    const socket = {
      id: {},
      key,
      code: 0,
      isOpen: true,
      sendsApart: true,
      /** The server sends a message. */
      say: () => {
        this.open_.set(key, this.clock.now());
        then();
        then = () => {};
      },
      onNextMessage: (receiver: () => void) => then = receiver,
      close(code: number) {
        socket.code = code;
        socket.isOpen = false;
      },
    };
    this.webSockets_.push(socket);
    return socket;
  }

  now(): SeenConnections {
    return { open: [...this.open_.keys()].map((key, fd) => ({ fd, key })), over: 0 };
  }
  async look(): Promise<SeenConnections> {
    const seen = this.now();
    await this.looking;
    return seen;
  }
  quietMs({ key }: OpenConnection): number {
    return this.clock.now() - (this.open_.get(key) as number);
  }
  hold({ key }: OpenConnection, on: boolean): void {
    this.held.push(`${key} ${on}`);
  }
  hasUnread({ key }: OpenConnection): boolean {
    return this.unread.has(key);
  }
  close({ key }: OpenConnection): void {
    this.open_.delete(key);
  }
  open(): { keys: Set<string>; unknown: number } {
    const sockets = this.webSockets_.filter(({ isOpen }) => isOpen).map(({ key }) => key);
    return { keys: new Set([...this.answering, ...sockets]), unknown: this.unknown };
  }
  answered(): number {
    return this.served;
  }
  webSockets(): Iterable<NativeWebSocket> {
    return this.webSockets_.filter(({ isOpen }) => isOpen);
  }
  closeIdle(): void {
    for (const key of this.idle ?? []) this.open_.delete(key);
  }
  end(): void {
    this.leave = undefined;
  }
  begin(leave: LeaveTaking): void {
    this.leave = leave;
  }
}

const PLAN = { timeoutMs: 30_000, spreadMs: 400, idleGraceMs: 5000 };

function drain(server: FakeServer, plan: object = {}): RunningDrain {
  const drainable = watchRequests(server, server);
  return runDrain([{ identity: "a", drainable }], { ...PLAN, ...plan }, server.clock);
}

test("thousands of idle connections are closed in portions soon after the grace, and need no look between them", async () => {
  const server = new FakeServer();
  server.add(...Array.from({ length: 3000 }, (_, index) => `client ${index}`));
  const running = drain(server);
  // When exactly it looks depends on how long looking takes.
  while (server.open_.size === 3000) await server.clock.advance(10);
  assert.equal(server.open_.size, 2800);
  await server.clock.advance(40);
  assert.equal(server.open_.size, 2000);
  await server.clock.advance(1000);
  const { closedIdle, cut } = await running.report;
  assert.deepEqual({ closedIdle, cut }, { closedIdle: 3000, cut: 0 });
});

test("clients are told one after the other over the spread, and those that are told close", async () => {
  const server = new FakeServer();
  server.add("a", "b", "c", "d");
  const running = drain(server);
  await server.clock.advance(0);
  const keys = ["a", "b", "c", "d"];
  const told = (): string[] => keys.filter((key) => server.ask(key));
  assert.deepEqual(told(), ["a"]);
  await server.clock.advance(100);
  assert.deepEqual(told(), ["a", "b"]);
  await server.clock.advance(300);
  assert.deepEqual(told(), keys);
  for (const key of keys) server.close({ fd: 0, key });
  await server.clock.advance(100);
  const { connections, closedPolitely, served, cut } = await running.report;
  assert.deepEqual(
    { connections, closedPolitely, served, cut },
    { connections: 4, closedPolitely: 4, served: 12, cut: 0 },
  );
});

test("an idle connection is closed after its grace, which a request begins anew", async () => {
  const server = new FakeServer();
  server.add("idle", "asking");
  const running = drain(server, { spreadMs: 60_000 });
  await server.clock.advance(4000);
  server.ask("asking");
  await server.clock.advance(1100);
  assert.deepEqual([...server.open_.keys()], ["asking"]);
  await server.clock.advance(4000);
  assert.equal((await running.report).closedIdle, 2);
});

test("a connection is not closed while a request is answered, nor when one has arrived unread", async () => {
  const server = new FakeServer();
  server.add("busy", "arrived");
  server.answering.add("busy");
  server.unread.add("arrived");
  const running = drain(server);
  await server.clock.advance(20_000);
  assert.deepEqual([...server.open_.keys()], ["busy", "arrived"]);
  server.answering.clear();
  server.unread.clear();
  await server.clock.advance(4000);
  // What was idle all the time goes; what was busy has its whole grace.
  assert.deepEqual([...server.open_.keys()], ["busy"]);
  await server.clock.advance(1100);
  assert.deepEqual((await running.report).closedIdle, 2);
});

test("a client that was told and stays is closed: one that is silent soon, one that keeps asking after the grace", async () => {
  const server = new FakeServer();
  server.add("silent", "deaf");
  drain(server, { spreadMs: 0 });
  await server.clock.advance(0);
  assert.equal(server.ask("silent"), true);
  for (let ms = 0; ms < 4500; ms += 500) {
    assert.equal(server.ask("deaf"), true);
    await server.clock.advance(500);
  }
  assert.deepEqual([...server.open_.keys()], ["deaf"]);
  for (let ms = 0; ms < 1000; ms += 500) {
    if (server.open_.has("deaf")) server.ask("deaf");
    await server.clock.advance(500);
  }
  assert.deepEqual([...server.open_.keys()], []);
});

test("while requests are answered on connections that are not known, only those are closed that are", async () => {
  const server = new FakeServer();
  server.add("old", "new");
  server.unknown = 1;
  const running = drain(server, { spreadMs: 60_000 });
  await server.clock.advance(0);
  server.ask("new");
  await server.clock.advance(12_000);
  assert.deepEqual([...server.open_.keys()], ["old"]);
  server.unknown = 0;
  await server.clock.advance(6000);
  assert.equal((await running.report).closedIdle, 2);
});

test("where the server knows better which of them are idle, it closes those", async () => {
  const server = new FakeServer();
  server.add("stream", "idle");
  server.unknown = 1;
  server.idle = ["idle"];
  const running = drain(server);
  await server.clock.advance(4000);
  assert.equal(server.open_.size, 2, "not before the grace is over");
  server.unread.add("idle");
  await server.clock.advance(2000);
  assert.equal(server.open_.size, 2, "nor when something has arrived");
  server.unread.clear();
  await server.clock.advance(200);
  assert.deepEqual([...server.open_.keys()], ["stream"]);
  running.cutNow();
  const { closedIdle, cut } = await running.report;
  assert.deepEqual({ closedIdle, cut }, { closedIdle: 1, cut: 1 });
});

test("WebSockets that are quiet are closed with 1012 over their own spread, also those that begin meanwhile", async () => {
  const server = new FakeServer();
  const [first, second] = [server.webSocket("a"), server.webSocket("b")];
  await server.clock.advance(1000);
  const running = drain(server, { webSocketSpreadMs: 1000 });
  await server.clock.advance(0);
  assert.deepEqual([first.code, second.code], [1012, 0]);
  await server.clock.advance(500);
  assert.equal(second.code, 1012);
  const third = server.webSocket("c");
  await server.clock.advance(1200);
  assert.equal(third.code, 1012);
  server.open_.delete("a");
  // The others never answer.
  await server.clock.advance(6000);
  const { closedPolitely, cut } = await running.report;
  assert.deepEqual({ closedPolitely, cut }, { closedPolitely: 3, cut: 0 });
});

test("a WebSocket on which something was said lately is closed behind the server's next message, held together with it", async () => {
  const server = new FakeServer();
  const socket = server.webSocket("a");
  drain(server);
  // The client goes on asking, and the server takes its time.
  for (let ms = 0; ms < 1500; ms += 300) {
    server.open_.set("a", server.clock.now());
    await server.clock.advance(300);
    assert.equal(socket.code, 0);
  }
  socket.say();
  assert.equal(socket.code, 1012);
  assert.deepEqual(server.held, ["a true"]);
  await server.clock.advance(0);
  assert.deepEqual(server.held, ["a true", "a false"]);
});

test("a WebSocket of a server that says nothing is closed after a second of silence, or after two, or half of what is left", async () => {
  for (
    const [talking, timeoutMs, ms] of [
      [false, 30_000, 1000],
      [true, 30_000, 2000],
      [true, 3000, 1500],
    ] as const
  ) {
    const server = new FakeServer();
    const socket = server.webSocket("a");
    drain(server, { timeoutMs });
    for (let now = 0; now < ms; now += 100) {
      assert.equal(socket.code, 0, `after ${now} ms`);
      if (talking) server.open_.set("a", server.clock.now());
      await server.clock.advance(100);
    }
    assert.equal(socket.code, 1012);
  }
});

test("a WebSocket that was waited for stays when the drain comes to nothing, and is told by the next", async () => {
  const server = new FakeServer();
  const socket = server.webSocket("a");
  const drainable = watchRequests(server, server);
  const pause = runPause([{ identity: "a", drainable }], PLAN, server.clock, Promise.resolve());
  await server.clock.advance(0);
  pause.end();
  socket.say();
  await server.clock.advance(10_000);
  assert.equal(socket.code, 0);
  assert.deepEqual(server.held, []);
  drainable.begin(PLAN, server.clock, Promise.resolve());
  await server.clock.advance(0);
  assert.equal(socket.code, 1012);
});

test("clients that are not known are told too, and counted", async () => {
  const server = new FakeServer();
  server.add("a");
  const running = drain(server, { spreadMs: 0 });
  assert.equal(server.ask("a", true), true);
  server.open_.clear();
  await server.clock.advance(100);
  assert.equal((await running.report).closedPolitely, 1);
});

test("a response keeps what its handler has said, and one that cannot be changed is copied", () => {
  const server = new FakeServer();
  server.add("a");
  const running = drain(server, { spreadMs: 0 });
  const leave = server.leave as LeaveTaking;
  const headers = { connection: "keep-alive, x-hop", "x-own": "1" };
  const own = leave(new Response("", { headers }), "a");
  assert.equal(own.headers.get("connection"), "x-hop, close");
  const fixed = leave(Response.redirect("http://localhost/", 302), "a");
  assert.equal(fixed.status, 302);
  assert.equal(fixed.headers.get("connection"), "close");
  assert.equal(fixed.headers.get("location"), "http://localhost/");
  const error = Response.error();
  assert.equal(leave(error, "a"), error, "the network's own error is passed on");
  running.cutNow();
});

test("a connection that turns up after the drain has begun is drained too", async () => {
  const server = new FakeServer();
  const drainable = watchRequests(server, server);
  let settle = () => {};
  const settled = new Promise<void>((resolve) => settle = resolve);
  const running = runDrain([{ identity: "a", drainable }], PLAN, server.clock, settled);
  server.add("late");
  settle();
  await server.clock.advance(4000);
  assert.equal(running.progress().cut, 0);
  assert.equal(server.open_.size, 1);
  await server.clock.advance(1200);
  assert.equal((await running.report).closedIdle, 1);
});

test("until the first look is over the drain goes on, and clients are told", async () => {
  const server = new FakeServer();
  server.add("a");
  let looked = () => {};
  server.looking = new Promise((resolve) => looked = resolve);
  const running = drain(server, { spreadMs: 0 });
  let isOver = false;
  running.report.then(() => isOver = true);
  await server.clock.advance(10_000);
  assert.equal(server.ask("a"), true);
  assert.equal(isOver, false);
  looked();
  await server.clock.advance(1000);
  assert.deepEqual([...server.open_.keys()], ["a"], "its grace begins when it is seen");
  await server.clock.advance(5000);
  const { connections, closedIdle } = await running.report;
  assert.deepEqual({ connections, closedIdle }, { connections: 1, closedIdle: 1 });
});

test("a look of a drain that came to nothing tells the next drain nothing", async () => {
  const server = new FakeServer();
  server.add("a");
  let looked = () => {};
  server.looking = new Promise((resolve) => looked = resolve);
  const drainable = watchRequests(server, server);
  const pause = runPause([{ identity: "a", drainable }], PLAN, server.clock, Promise.resolve());
  await server.clock.advance(100);
  pause.end();
  server.looking = Promise.resolve();
  server.add("b");
  const running = runDrain([{ identity: "a", drainable }], PLAN, server.clock);
  await server.clock.advance(0);
  looked();
  await server.clock.advance(100);
  assert.equal(running.progress().connections, 2);
  await server.clock.advance(6000);
  const { connections, closedIdle } = await running.report;
  assert.deepEqual({ connections, closedIdle }, { connections: 2, closedIdle: 2 });
});
