// Runs on: node22, node26, deno, bun
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createRequire } from "node:module";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { startLoad } from "../../bench/load/load.ts";
import { Chain, type Said, until } from "../support/chain.ts";
import { current } from "../support/runtimes.ts";
import { Wire } from "../support/wire.ts";
import { Http2Wire } from "../support/wire_http2.ts";

const require = createRequire(import.meta.url);
const script = fileURLToPath(new URL("../fixtures/drain.ts", import.meta.url));
const runtime = current();
const limit = { timeout: 60_000 };

interface Flip {
  readonly chain: Chain;
  readonly wire: (name?: string, secure?: boolean) => Wire;
  /** Upgrades; resolves when the old process has begun to drain. */
  readonly flip: () => Promise<Said>;
  /** How the old process let its connections go. */
  readonly report: () => Promise<Said>;
}

async function started(t: TestContext, options: object = {}): Promise<Flip> {
  const chain = new Chain({ runtime, script, env: { OPTIONS: JSON.stringify(options) } });
  const wires: Wire[] = [];
  t.after(async () => {
    for (const wire of wires) wire.destroy();
    await chain.end();
  });
  await chain.event("ready", 1);
  return {
    chain,
    wire: (name = "http", secure = false) => {
      const wire = new Wire(chain.address(name), secure);
      wires.push(wire);
      return wire;
    },
    flip: async () => {
      const upgraded = await chain.get("/admin/upgrade", { command: runtime.command(script) });
      assert.equal(upgraded.status, 200, upgraded.text + chain.errors);
      return chain.event("draining", 1);
    },
    report: () => chain.event("drained", 1),
  };
}

/** What the report says about one server. */
const of = (report: Said, identity: string) =>
  report["servers"].find((server: { identity: string }) => server.identity === identity);

const OK = /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n[^]*\b1\b/;

for (const [name, secure] of [["http", false], ["https", true], ["h2", true]] as const) {
  test(
    `a kept-alive connection to ${
      { http: "a node:http", https: "a node:https", h2: "a node:http2" }[name]
    } server is told to go with its next response, and then closed`,
    limit,
    async (t) => {
      const { wire, flip, report } = await started(t, { drainSpreadMs: 0 });
      const kept = wire(name, secure);
      assert.match(await kept.ask("/").expect(OK), /connection: keep-alive/i);
      await flip();
      kept.ask("/keep");
      const last = await kept.closed;
      assert.match(last, OK);
      assert.match(last, /^connection: close\r$/im);
      const told = of(await report(), name);
      assert.equal(told.closedPolitely, 1);
      assert.equal(told.cut, 0);
    },
  );
}

test(
  "clients that always ask are told to go in their turn, not only when the idle grace is over",
  limit,
  async (t) => {
    const { chain, flip, report } = await started(t, { idleGraceMs: 60_000 });
    const { port } = chain.address("http") as { port: number };
    const target = { port, hostname: "127.0.0.1" };
    const load = startLoad({ keepAlive: 8, target, timeoutMs: 20_000 });
    try {
      const answered = load.snapshot().sent;
      await until("all have asked often", () => load.snapshot().sent > answered + 400);
      await flip();
      const { closedPolitely, cut } = of(await report(), "http");
      assert.deepEqual({ closedPolitely, cut }, { closedPolitely: 8, cut: 0 });
    } finally {
      await load.stop();
    }
    const { lost, losses } = await load.done;
    assert.deepEqual([lost, losses], [0, []]);
  },
);

test("an idle connection is served in its grace, and closed after it", limit, async (t) => {
  const { wire, flip, report } = await started(t);
  const idle = wire();
  await idle.ask("/").expect(OK);
  await flip();
  assert.equal(await idle.closed, "");
  const { closedIdle, cut } = of(await report(), "http");
  assert.deepEqual({ closedIdle, cut }, { closedIdle: 1, cut: 0 });
});

test("requests that were sent ahead are all answered by the old process", limit, async (t) => {
  const { wire, flip } = await started(t, { drainSpreadMs: 0 });
  const ahead = wire();
  ahead.ask("/late").ask("/late").ask("/late");
  // They have arrived when an answer to a later connection has come.
  await wire().ask("/").expect(OK);
  await flip();
  const answers = (await ahead.closed).split("HTTP/1.1 200 OK").slice(1);
  assert.equal(answers.length, 3);
  assert.deepEqual(
    answers.map((answer) => /^connection: close\r$/im.test(answer)),
    [false, false, true],
  );
});

test(
  "a client that has sent ahead before is not told to go in the middle of what it sent",
  limit,
  async (t) => {
    const { wire, flip, report } = await started(t, { drainSpreadMs: 0, idleGraceMs: 2000 });
    const [ahead, idle] = [wire(), wire()];
    const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const answers = (text: string) => text.split("HTTP/1.1 200 OK").length - 1;
    await ahead.write(request.repeat(3)).expect(/(?:HTTP\/1\.1 200 OK[^]*){3}\b1$/);
    await idle.ask("/").expect(OK);
    await flip();
    assert.equal(answers(await ahead.write(request.repeat(3)).closed), 3);
    await idle.closed;
    assert.equal((await report())["cut"], 0);
  },
);

test("a slow upload and a slow download finish", limit, async (t) => {
  const { wire, flip, report } = await started(t, { drainSpreadMs: 0, idleGraceMs: 200 });
  const upload = wire().write(
    "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n" + "x".repeat(1000),
  );
  const download = wire().ask("/download");
  await download.expect(/begin /);
  const idle = wire();
  await idle.ask("/").expect(OK);
  await flip();
  await idle.closed;
  upload.write("y".repeat(1000));
  assert.match(await upload.closed, /\r\n\r\n[^]*1 2000/);
  assert.ok((await download.closed).includes("xxxx end"));
  assert.equal((await report())["cut"], 0);
});

test(
  "an upload that begins in the grace is finished, one byte of its head after the other",
  {
    ...limit,
    skip: runtime.runtime === "bun" && "Bun does not tell that a part of a head has arrived",
  },
  async (t) => {
    const { wire, flip, report } = await started(t, { drainSpreadMs: 0, idleGraceMs: 3000 });
    const slow = wire();
    await slow.ask("/").expect(OK);
    const other = wire();
    await other.ask("/").expect(OK);
    await flip();
    slow.write("POST /upload HTTP/1.1\r\nHost: local");
    await other.closed;
    slow.write("host\r\nContent-Length: 5\r\n\r\nab");
    await wire().ask("/").expect(/\r\n\r\n[^]*2/);
    slow.write("cde");
    assert.match(await slow.closed, /\r\n\r\n[^]*1 5/);
    assert.equal((await report())["cut"], 0);
  },
);

test(
  "HEAD, HTTP/1.0 and Expect: 100-continue are answered in full by a process that drains",
  limit,
  async (t) => {
    const { wire, flip, report } = await started(t, { drainSpreadMs: 0, idleGraceMs: 5000 });
    const [head, old, patient] = [wire(), wire(), wire()];
    for (const one of [head, old, patient]) await one.ask("/").expect(OK);
    await flip();
    head.write("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert.match(await head.closed, /^HTTP\/1\.1 200 OK\r\n[^]*connection: close[^]*\r\n\r\n$/i);
    old.write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert.match(await old.closed, /^HTTP\/1\.\d 200 OK\r\n[^]*\r\n\r\n1$/);
    patient.write(
      "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    await patient.expect(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    patient.write("abcd");
    assert.match(await patient.closed, /connection: close[^]*1 4/i);
    assert.equal((await report())["cut"], 0);
  },
);

test(
  "event streams that the application has registered end with what it has to say",
  limit,
  async (t) => {
    const { chain, wire, flip, report } = await started(t);
    const events = wire().ask("/events");
    await events.expect(/data: hello/);
    await flip();
    assert.match(await events.closed, /retry: 500/);
    const drained = await report();
    assert.equal(of(drained, "events").kind, "application");
    assert.equal(of(drained, "events").connections, 1);
    assert.equal(drained["cut"], 0, chain.errors);
  },
);

test("a stream that nobody ends is cut at the deadline, and counted", limit, async (t) => {
  const { wire, flip, report } = await started(t, { drainTimeoutMs: 500 });
  const stream = wire().ask("/forever");
  await stream.expect(/begin /);
  await flip();
  assert.equal(await stream.closed, "");
  const drained = await report();
  assert.equal(of(drained, "http").cut, 1);
});

test(
  "WebSocket clients are told 1012 behind an answer, and reconnect to the successor",
  limit,
  async (t) => {
    const { chain, flip, report } = await started(t, { webSocketSpreadMs: 300, idleGraceMs: 5000 });
    const { WebSocket } = require("ws");
    const { port } = chain.address("ws") as { port: number };
    const clients = await Promise.all(Array.from({ length: 5 }, () => echo(WebSocket, port)));
    const draining = flip();
    const closed = await Promise.all(clients.map((client) => client.closed));
    await draining;
    for (const { code, sent, answers } of closed) {
      assert.equal(code, 1012);
      assert.equal(answers.length, sent);
      assert.deepEqual(answers, answers.map((_, index) => `1 ${index}`));
    }
    const again = await echo(WebSocket, port);
    await again.answered;
    again.close();
    assert.match((await again.closed).answers[0] ?? "", /^2 /);
    const told = of(await report(), "ws");
    assert.deepEqual([told.closedPolitely, told.cut], [5, 0]);
  },
);

interface Echo {
  readonly closed: Promise<{ code: number; sent: number; answers: string[] }>;
  readonly answered: Promise<unknown>;
  close(): void;
}

/** Sends one message after the other, each when the one before was answered. */
// deno-lint-ignore no-explicit-any -- "ws" has no types of its own
function echo(WebSocket: any, port: number): Promise<Echo> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    const answers: string[] = [];
    let sent = 0;
    let first!: (value: unknown) => void;
    const answered = new Promise((resolve) => first = resolve);
    const closed = new Promise<{ code: number; sent: number; answers: string[] }>((resolve) => {
      socket.on("close", (code: number) => resolve({ code, sent, answers }));
    });
    socket.on("error", reject);
    socket.on("message", (data: Uint8Array) => {
      answers.push(String(data));
      first(undefined);
      setTimeout(() => {
        if (socket.readyState !== 1) return;
        socket.send(String(sent++));
      }, 20);
    });
    socket.on("open", () => {
      socket.send(String(sent++));
      resolve({ closed, answered, close: () => socket.close() });
    });
  });
}

for (const name of ["h2c", "h2"] as const) {
  // Where no notice can be given, only a client that asks one thing after the other loses nothing.
  const notice = runtime.runtime === "bun" || (runtime.runtime === "node" && name === "h2c");
  const parallel = notice ? 8 : 1;
  test(
    `over HTTP/2 ${name === "h2" ? "with TLS" : "without TLS"} ${
      parallel > 1 ? "all streams" : "the streams of a client that sends one after the other"
    } are answered, and the client is told by GOAWAY`,
    limit,
    async (t) => {
      const { chain, flip, report } = await started(t);
      const open = () => {
        const wire = new Http2Wire(chain.address(name), name === "h2");
        t.after(() => wire.destroy());
        return wire;
      };
      const [asking, waiting] = [open(), open()];
      const late = waiting.ask("/late");
      const answers: string[] = [];
      const ask = async () => {
        do answers.push(await asking.ask("/")); while (asking.lastStream === undefined);
      };
      const loops = Promise.all(Array.from({ length: parallel }, ask));
      await asking.ask("/");
      await flip();
      await loops;
      assert.deepEqual([...new Set(answers)], ["1"]);
      assert.equal(await late, "1");
      await Promise.all([asking.closed, waiting.closed]);
      assert.equal(await open().ask("/"), "2");
      const told = of(await report(), name);
      assert.deepEqual([told.kind, told.closedPolitely, told.cut], ["http2", 2, 0]);
    },
  );
}

test(
  "gRPC calls through a connection injector finish, and new ones go to the successor",
  limit,
  async (t) => {
    const { chain, flip, report } = await started(t);
    const grpc = require("@grpc/grpc-js");
    const { port } = chain.address("grpc") as { port: number };
    const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
    t.after(() => client.close());
    const bytes = (value: Uint8Array) => Buffer.from(value);
    const call = (text: string) =>
      new Promise<string>((resolve, reject) => {
        client.makeUnaryRequest(
          "/test.Echo/Say",
          bytes,
          bytes,
          Buffer.from(text),
          (error: Error | null, value: Uint8Array) => error ? reject(error) : resolve(`${value}`),
        );
      });
    assert.equal(await call("a"), "1 a");
    const late = call("late");
    await flip();
    assert.equal(await late, "1 late");
    assert.equal(await call("b"), "2 b");
    assert.equal(of(await report(), "grpc").cut, 0);
  },
);
