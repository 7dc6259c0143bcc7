// Runs on: node22, node26, deno, bun
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { Asker } from "../support/askers.ts";
import { get, isRunning, until } from "../support/chain.ts";
import { current } from "../support/runtimes.ts";
import { anyPort, using } from "../support/served.ts";

test("bodies stream in both directions", () =>
  using(anyPort, async ({ chain }) => {
    await chain.event("ready");
    const { port } = chain.address("web") as { port: number };
    const download = await fetch(`http://127.0.0.1:${port}/down`);
    const reader = download.body!.getReader();
    const decode = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
    assert.equal(decode((await reader.read()).value), "first ", "before the second one is made");
    await chain.get("/go", undefined, "web");
    assert.equal(decode((await reader.read()).value), "second");
    assert.equal((await reader.read()).done, true);

    const upload = net.connect(port, "127.0.0.1");
    let answer = "";
    upload.on("data", (chunk: Uint8Array) => answer += decode(chunk));
    const closed = once(upload, "close");
    upload.write("POST /up HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n");
    upload.write("first");
    await chain.event("chunk");
    assert.equal(chain.said.find(({ event }) => event === "chunk")?.["text"], "first");
    upload.write("later");
    await closed;
    assert.match(answer, /firstlater/);
  }));

test("a client that goes away aborts the signal of its request", () =>
  using(anyPort, async (program) => {
    const { chain } = program;
    await chain.event("ready");
    const client = net.connect(program.target as net.TcpNetConnectOpts);
    client.write("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    await chain.event("waiting");
    client.destroy();
    await chain.event("aborted");
  }));

test("what fetch is told of the client is the same on every runtime", async () => {
  await using({ port: 0, name: "web" }, async ({ chain }) => {
    await chain.event("ready");
    const { json } = await chain.get("/peer", undefined, "web");
    assert.equal(json.address, "127.0.0.1", "as IPv4, although the socket is dual-stack");
    assert.equal(Number.isInteger(json.port) && json.port > 0, true);
  });
  await using({ path: "app.sock", name: "web" }, async ({ chain }) => {
    await chain.event("ready");
    const { json } = await chain.get("/peer", undefined, "web");
    assert.deepEqual(json, { address: null, port: null });
  });
});

test("a request can be copied with the global Request", () =>
  using(anyPort, async ({ chain }) => {
    await chain.event("ready");
    assert.equal((await chain.get("/copy", "text", "web")).json, "text");
  }));

test("a fetch that fails, or answers with nothing, is answered with 500, and the server goes on", () =>
  using(anyPort, async ({ chain }) => {
    await chain.event("ready");
    for (const [path, why] of [["/boom", "Error: boom"], ["/nothing", "which is no Response"]]) {
      const { status, text } = await chain.get(path, undefined, "web");
      assert.equal(status, 500);
      assert.equal(text, "Internal Server Error", "clients learn nothing of the inside");
      await until("the operator is told", () => chain.errors.includes(why!));
    }
    assert.equal((await chain.get("/", undefined, "web")).text, "1");
    assert.doesNotMatch(chain.errors, /legacy/, "no warning of the runtime");
  }));

test("onError answers instead", () =>
  using({ ...anyPort, answersErrors: true }, async ({ chain }) => {
    await chain.event("ready");
    const { status, text } = await chain.get("/boom", undefined, "web");
    assert.deepEqual([status, text], [503, "sorry: boom"]);
    assert.doesNotMatch(chain.errors, /boom/);
  }));

test("an onListen that throws is told, and changes nothing", () =>
  using({ ...anyPort, deafListener: true }, async ({ chain }) => {
    await chain.event("ready");
    assert.equal((await chain.get("/", undefined, "web")).text, "1");
    await until("the operator is told", () => /onListen failed: Error: deaf/.test(chain.errors));
  }));

const limits = {
  node: { serverOptions: { maxHeaderSize: 1024 }, status: 431 },
  bun: { serverOptions: { maxRequestBodySize: 1024 }, status: 413 },
  deno: undefined,
}[current().runtime];
const noLimit = limits === undefined ? "Deno.serve has no option that a request could show" : false;
test(
  "serverOptions reach the runtime's own server",
  { skip: noLimit },
  () =>
    using({ ...anyPort, serverOptions: limits!.serverOptions }, async ({ chain }) => {
      await chain.event("ready");
      const { port } = chain.address("web") as { port: number };
      const text = "x".repeat(2000);
      const { status } = await fetch(`http://127.0.0.1:${port}/`, {
        method: "POST",
        body: text,
        headers: { "x-text": text },
      });
      assert.equal(status, limits!.status);
    }),
);

const noWebSocket = current().runtime === "node" ? "Node has no WebSocket server" : false;
test(
  "WebSockets work as the runtime has them",
  { skip: noWebSocket },
  () =>
    using({ ...anyPort, webSocket: true }, async ({ chain }) => {
      await chain.event("ready");
      const { port } = chain.address("web") as { port: number };
      const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`);
      await once(socket as never, "open");
      const answer = new Promise((resolve) => {
        socket.onmessage = ({ data }) => resolve(data);
      });
      socket.send("hello");
      assert.equal(await answer, "hello!");
      socket.close();
    }),
);

describe("a start that fails", () => {
  const wrongs = [
    ["fetch", "Cannot use fetch: expected a function, got undefined"],
    ["key", "Cannot use tls.key: it is no private key without a passphrase in PEM"],
    ["address", "a path stands alone"],
  ] as const;
  for (const [bad, why] of wrongs) {
    test(`of a successor with a bad ${bad}: the parent learns why and goes on`, () => {
      const secure = bad === "key";
      return using({ ...anyPort, bad, secure }, async (program) => {
        const { chain } = program;
        const { pid } = await chain.event("ready", 1);
        process.kill(pid, "SIGHUP");
        const error = await chain.event("error");
        assert.equal(error["message"].includes(why), true, error["message"]);
        await until(
          "the operator is told",
          () => new RegExp(`error: Cannot upgrade: the child failed: .*${why}`).test(chain.errors),
        );
        await until("the successor has ended by itself", () => !isRunning(error.pid));
        const asker = new Asker(secure ? "https" : "http", program.target);
        await until("it is answered", () => asker.asked.count + asker.asked.lost.length > 0);
        assert.deepEqual((await asker.stop()).answers, ["1"]);
      });
    });
  }

  test("of the first generation leaves nothing that keeps the process alive", async () => {
    const other = net.createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as net.AddressInfo;
    try {
      await using({ port, hostname: "127.0.0.1" }, async ({ chain }) => {
        const ended = once(chain.first, "exit");
        assert.equal((await chain.event("error"))["code"], "ERR_ADDRESS");
        assert.deepEqual(await ended, [0, null]);
      });
    } finally {
      other.close();
    }
  });
});

test("after SIGTERM the process ends with exit code 0 and takes its path and PID file with it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  const pidFile = join(folder, "app.pid");
  try {
    await using({ path: "app.sock", name: "web", pidFile }, async (program) => {
      const { chain } = program;
      const { pid } = await chain.event("ready");
      assert.equal(existsSync(pidFile), true);
      assert.equal((await get(program.target)).text, "1");
      const ended = once(chain.first, "exit");
      process.kill(pid, "SIGTERM");
      assert.deepEqual(await ended, [0, null]);
      assert.equal(existsSync(join(program.folder, "app.sock")), false);
      assert.equal(existsSync(pidFile), false);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
