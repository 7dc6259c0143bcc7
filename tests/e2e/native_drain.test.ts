// Runs on: node26
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { startLoad } from "../../bench/load/load.ts";
import { Chain, isRunning, type Said, until } from "../support/chain.ts";
import { current, runtimes, type TestRuntime } from "../support/runtimes.ts";
import { Wire } from "../support/wire.ts";

const script = fileURLToPath(new URL("../fixtures/native_drain.ts", import.meta.url));
const natives = runtimes.filter(({ runtime }) => runtime !== "node");
const limit = { timeout: 60_000 };
const OK = /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n[^]*\b1\b/;

/** On Node both are fixtures, which is enough; with --everywhere, Deno and Bun test themselves. */
const own = current().runtime === "node"
  ? natives
  : natives.filter(({ name }) => name === current().name);

interface Flip {
  readonly chain: Chain;
  readonly wire: (name?: string) => Wire;
  /** Upgrades; resolves when the old process has begun to drain. */
  readonly flip: () => Promise<unknown>;
  /** How the old process let the connections of one server go. */
  readonly report: (name?: string) => Promise<Said>;
}

async function started(
  t: TestContext,
  runtime: TestRuntime,
  options: object = {},
  env: Record<string, string> = {},
): Promise<Flip> {
  const chain = new Chain({ runtime, script, env: { OPTIONS: JSON.stringify(options), ...env } });
  const wires: Wire[] = [];
  t.after(async () => {
    for (const wire of wires) wire.destroy();
    await chain.end();
  });
  await chain.event("ready", 1);
  return {
    chain,
    wire: (name = "http") => {
      const wire = new Wire(chain.address(name));
      wires.push(wire);
      return wire;
    },
    flip: async () => {
      const upgraded = await chain.get("/", { command: runtime.command(script) });
      assert.equal(upgraded.status, 200, upgraded.text + chain.errors);
      await chain.event("draining", 1);
    },
    report: async (name = "http") => {
      const { servers } = await chain.event("drained", 1);
      return servers.find(({ identity }: { identity: string }) => identity === name);
    },
  };
}

/** Registers one test for each runtime that has such a server. */
function each(
  title: string,
  run: (t: TestContext, runtime: TestRuntime) => Promise<void>,
): void {
  for (const runtime of own) test(`${title} (${runtime.name})`, limit, (t) => run(t, runtime));
}

each(
  "a kept-alive connection is told to go with its next response, and is closed",
  async (t, runtime) => {
    const { wire, flip, report } = await started(t, runtime);
    const [kept, own] = [wire(), wire()];
    const first = await kept.ask("/").expect(OK);
    assert.doesNotMatch(first, /connection: close/i);
    await own.ask("/").expect(OK);
    await flip();
    for (const one of [kept.ask("/"), own.ask("/keep")]) {
      const last = await one.closed;
      assert.match(last, OK);
      assert.match(last, /^connection: close\r$/im);
      assert.doesNotMatch(last, /keep-alive/i);
    }
    const { kind, connections, served, closedPolitely, closedIdle, cut } = await report();
    assert.deepEqual(
      { kind, connections, served, closedPolitely, closedIdle, cut },
      { kind: "native", connections: 2, served: 2, closedPolitely: 2, closedIdle: 0, cut: 0 },
    );
  },
);

each("an idle connection is served in the grace, or closed after it", async (t, runtime) => {
  const { wire, flip, report } = await started(t, runtime, { drainSpreadMs: 60_000 });
  const [idle, asking] = [wire(), wire()];
  await idle.ask("/").expect(OK);
  await asking.ask("/").expect(OK);
  await flip();
  // Its turn has not come.
  assert.doesNotMatch(await asking.ask("/").expect(OK), /connection: close/i);
  assert.equal(await idle.closed, "");
  assert.equal(await asking.closed, "");
  const { closedIdle, served, cut } = await report();
  assert.deepEqual({ closedIdle, served, cut }, { closedIdle: 2, served: 1, cut: 0 });
});

each("a slow upload, a slow download and a slow handler finish", async (t, runtime) => {
  const { wire, flip, report } = await started(t, runtime, { idleGraceMs: 1000 });
  const upload = wire().write(
    "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n" + "x".repeat(1000),
  );
  const late = wire().ask("/late");
  const download = wire().ask("/download");
  await download.expect(/begin /);
  const after = wire();
  await after.ask("/").expect(OK);
  await flip();
  await after.ask("/").expect(OK);
  assert.match(await late.closed, OK);
  // No regular expression: one that counts a million characters takes seconds.
  assert.ok((await download.closed).includes(`${"x".repeat(1000)} end`));
  upload.write("y".repeat(1000));
  assert.match(await upload.closed, /\r\n\r\n1 2000$/);
  assert.equal((await report())["cut"], 0);
});

each(
  "a stream that nobody ends is cut at the deadline and counted, and idle connections beside it are no loss",
  async (t, runtime) => {
    const { wire, flip, report } = await started(t, runtime, {
      drainTimeoutMs: 3000,
      idleGraceMs: 200,
    });
    const stream = wire().ask("/forever");
    await stream.expect(/begin /);
    const idle = wire();
    await idle.ask("/").expect(OK);
    await flip();
    assert.equal(await stream.closed, "");
    assert.equal(await idle.closed, "");
    const { closedIdle, cut } = await report();
    assert.deepEqual({ closedIdle, cut }, { closedIdle: 1, cut: 1 });
  },
);

each(
  "HEAD, HTTP/1.0 and Expect: 100-continue are answered in full by a process that drains",
  async (t, runtime) => {
    const { wire, flip, report } = await started(t, runtime, { idleGraceMs: 5000 });
    const [head, old, patient, fixed] = [wire(), wire(), wire(), wire()];
    for (const one of [head, old, patient, fixed]) await one.ask("/").expect(OK);
    await flip();
    head.write("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert.match(await head.closed, /^HTTP\/1\.1 200 OK\r\n[^]*connection: close[^]*\r\n\r\n$/i);
    old.write("GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
    assert.match(await old.closed, /^HTTP\/1\.\d 200 OK\r\n[^]*\r\n\r\n1$/);
    // Headers that cannot be changed on Deno, no handler on Bun.
    assert.match(
      await fixed.ask("/fixed").closed,
      /^HTTP\/1\.1 (?:200|302) [^]*connection: close/i,
    );
    patient.write(
      "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    await patient.expect(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    patient.write("abcd");
    assert.match(await patient.closed, /connection: close[^]*1 4/i);
    assert.equal((await report())["cut"], 0);
  },
);

each("WebSocket clients are told 1012 after what was sent before", async (t, runtime) => {
  const { chain, wire, flip, report } = await started(t, runtime, { webSocketSpreadMs: 300 });
  const clients = Array.from({ length: 3 }, () => new Socket(wire()));
  for (const client of clients) await client.say("a", /1 a$/);
  const silent = new Socket(wire());
  await silent.say("a", /1 a$/);
  await flip();
  const after = new Socket(wire());
  await after.say("b", /2 b$/);
  for (const client of clients) assert.equal(await client.told(), 1012);
  assert.equal(await silent.told(false), 1012);
  const { connections, closedPolitely, cut } = await report();
  assert.deepEqual(
    { connections, closedPolitely, cut },
    { connections: 4, closedPolitely: 4, cut: 0 },
    chain.errors,
  );
});

each("on a Unix socket, where the system tells no times, the same holds", async (t, runtime) => {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const { wire, flip, report } = await started(t, runtime, {}, { SOCKET: join(folder, "a.sock") });
  const [kept, idle, late] = [wire("unix"), wire("unix"), wire("unix")];
  for (const one of [kept, idle]) await one.ask("/").expect(OK);
  late.ask("/late");
  await wire().ask("/").expect(OK);
  await flip();
  assert.match(await kept.ask("/").closed, /^connection: close\r$/im);
  assert.match(await late.closed, OK);
  assert.equal(await idle.closed, "");
  assert.equal((await report("unix"))["cut"], 0);
});

for (const name of ["form", "early"]) {
  const which = own.filter(({ name: runtime }) => name === "early" || runtime === "deno");
  for (const runtime of which) {
    test(
      `a server started in another way is drained as far as it can be seen: ${name} (${runtime.name})`,
      limit,
      async (t) => {
        const { wire, flip, report } = await started(t, runtime, { drainTimeoutMs: 3000 });
        const idle = wire(name);
        await idle.ask("/").expect(OK);
        await flip();
        assert.equal(await idle.closed, "");
        const { closedIdle, cut } = await report(name);
        const seen = runtime.name === "bun" || name === "form";
        assert.deepEqual(
          { closedIdle, cut },
          seen ? { closedIdle: 1, cut: 0 } : { closedIdle: 0, cut: 1 },
        );
      },
    );
  }
}

each(
  "under load, process after process is replaced, nothing is lost and nothing is cut",
  async (t, runtime) => {
    const chain = new Chain({ runtime, script, env: { OPTIONS: '{"drainSpreadMs":300}' } });
    t.after(() => chain.end());
    const ready = await chain.event("ready", 1);
    const { port } = chain.address("http") as { port: number };
    const load = startLoad({
      target: { port, hostname: "127.0.0.1" },
      keepAlive: 12,
      oneShot: 2,
      post: 4,
      thinkMs: 1,
      maxMs: 50_000,
    });
    t.after(() => load.stop());
    for (let generation = 1; generation <= 4; generation++) {
      // Each of those that have such servers, by turns.
      const next = natives[generation % natives.length] as TestRuntime;
      const upgraded = await chain.get("/", { command: next.command(script) });
      assert.equal(upgraded.status, 200, upgraded.text + chain.errors);
      const drained = await chain.event("drained", generation);
      assert.equal(drained["cut"], 0, JSON.stringify(drained));
      await chain.event("ready", generation + 1);
    }
    const { sent, lost } = await load.stop();
    assert.equal(lost, 0, `of ${sent}`);
    assert.ok(sent > 100, `${sent} is no load`);
    await until("the first process has ended by itself", () => !isRunning(ready.pid));
  },
);

/** A WebSocket client. */
class Socket {
  readonly #wire: Wire;
  readonly #ready: Promise<unknown>;

  constructor(wire: Wire) {
    this.#wire = wire;
    this.#ready = wire.ask(
      "/ws",
      "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ).expect(/^HTTP\/1\.1 101 [^]*\r\n\r\n/);
  }

  async say(text: string, answer: RegExp): Promise<void> {
    await this.#ready;
    this.#wire.write(frame(1, Buffer.from(text)));
    await this.#wire.expect(answer);
  }

  /** Waits for the server's close frame, and answers it. @returns Its code. */
  async told(answers = true): Promise<number> {
    const [code = ""] = /(?<=\x88[^])[^]{2}/.exec(await this.#wire.expect(/\x88[^]{3}/)) ?? [];
    if (answers) this.#wire.write(frame(8, Buffer.from(code, "latin1")));
    await this.#wire.closed;
    return Buffer.from(code, "latin1").readUInt16BE();
  }
}

/** A masked frame, with a mask of zeros. */
function frame(opcode: number, payload: Uint8Array): Uint8Array {
  return Uint8Array.of(0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0, ...payload);
}
