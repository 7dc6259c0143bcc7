// Runs on: node26
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { ask, Chain, until } from "../support/chain.ts";
import { runtimes, type TestRuntime } from "../support/runtimes.ts";

// The variable and the descriptor are read by each runtime in its own way.
const readers = runtimes.filter(({ name }) => ["node26", "deno", "bun"].includes(name));
const value = (more: object = {}) => JSON.stringify({ v: 1, fd: 3, ppid: process.pid, ...more });

function start(
  t: TestContext,
  runtime: TestRuntime,
  variable: string,
  passed: readonly (number | "pipe")[] = [],
): Chain {
  const chain = new Chain({ runtime, passed, env: { CHANGEOVER: variable } });
  t.after(() => chain.end());
  return chain;
}

/** It starts as if there were no variable, and says why. */
async function ignores(chain: Chain, warning: RegExp): Promise<void> {
  await chain.event("ready", 1);
  await until("it warns", () => warning.test(chain.errors));
  assert.match((await chain.get()).text, /^1 /);
  assert.equal((await chain.get("/admin/status")).json.env, null, "the variable is gone");
}

/** It does not start, and says why. */
async function refuses(chain: Chain, reason: RegExp): Promise<void> {
  await until("it has ended", () => chain.first.exitCode !== null);
  assert.notEqual(chain.first.exitCode, 0);
  await until("it says why", () => reason.test(chain.errors));
  assert.equal(chain.said.length, 0, "it served nobody");
}

const forged: readonly { title: string; variable: string; warning: RegExp }[] = [
  { title: "is no JSON", variable: "yes", warning: /not JSON.*ignored/ },
  { title: "has another version", variable: value({ v: 2 }), warning: /version 2.*ignored/ },
  {
    title: "is longer than it can be",
    variable: value({ x: "x".repeat(2000) }),
    warning: /longer than.*ignored/,
  },
  {
    title: "names a descriptor that is not open",
    variable: value({ fd: 99 }),
    warning: /descriptor 99, which is not a channel.*ignored/,
  },
  {
    title: "names the descriptor of another program's output",
    variable: value({ fd: 1 }),
    warning: /ignored/,
  },
];

for (const [index, { title, variable, warning }] of forged.entries()) {
  const runtime = readers[index % readers.length]!;
  test(
    `a CHANGEOVER that ${title} is ignored with a warning (${runtime.name})`,
    { timeout: 120_000 },
    (t) => ignores(start(t, runtime, variable), warning),
  );
}

/** Something that is no channel, and whether it is as it was. */
interface Foreign {
  readonly fd: number;
  readonly asBefore: () => Promise<void>;
}

/** Node has no other way to a socket's number. */
// deno-lint-ignore no-explicit-any -- fields without a type
function numberOf(socket: any): number {
  const state = Object.getOwnPropertySymbols(socket).find(({ description }) =>
    description === "state symbol"
  );
  return (socket._handle ?? socket[state!].handle).fd;
}

async function listening(t: TestContext, at: object): Promise<Foreign & { server: net.Server }> {
  const server = net.createServer((socket) => void socket.end("mine"));
  t.after(() => server.close());
  await once(server.listen(at), "listening");
  const address = server.address() as net.AddressInfo | string;
  const target = typeof address === "string"
    ? { path: address }
    : { host: "127.0.0.1", port: address.port };
  const asBefore = async () => assert.equal(await ask(target), "mine");
  return { fd: numberOf(server), server, asBefore };
}

async function connected(t: TestContext): Promise<Foreign> {
  const { server } = await listening(t, { port: 0, host: "127.0.0.1" });
  server.removeAllListeners("connection");
  const client = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
  t.after(() => client.destroy());
  const [accepted] = await once(server, "connection") as [net.Socket];
  t.after(() => accepted.destroy());
  return {
    fd: numberOf(client),
    async asBefore() {
      client.write("first");
      const [bytes] = await once(accepted, "data") as [Uint8Array];
      assert.equal(new TextDecoder().decode(bytes), "first", "nobody has said anything on it");
    },
  };
}

async function datagrams(t: TestContext): Promise<Foreign> {
  const socket: Socket = createSocket("udp4");
  t.after(() => socket.close());
  await once(socket.bind(0, "127.0.0.1"), "listening");
  return {
    fd: numberOf(socket),
    async asBefore() {
      socket.send("x", socket.address().port);
      await once(socket, "message");
    },
  };
}

function fifo(t: TestContext, folder: string): Foreign {
  const path = join(folder, "fifo");
  execFileSync("mkfifo", [path]);
  const fd = openSync(path, "r+");
  t.after(() => closeSync(fd));
  return {
    fd,
    asBefore() {
      const bytes = new Uint8Array(5);
      writeSync(fd, "first");
      readSync(fd, bytes);
      assert.equal(new TextDecoder().decode(bytes), "first");
      return Promise.resolve();
    },
  };
}

for (const runtime of readers) {
  test(
    `a CHANGEOVER that names a socket of another kind, or a pipe, is ignored with a warning and leaves it alone (${runtime.name})`,
    { timeout: 120_000 },
    async (t) => {
      const folder = mkdtempSync(join(tmpdir(), "co-"));
      t.after(() => rmSync(folder, { recursive: true }));
      const foreign = [
        await listening(t, { port: 0, host: "127.0.0.1" }),
        await listening(t, { path: join(folder, "listening") }),
        await connected(t),
        await datagrams(t),
        fifo(t, folder),
      ];
      await Promise.all(foreign.map(async ({ fd, asBefore }) => {
        await ignores(
          start(t, runtime, value(), [fd]),
          /descriptor 3, which is not a channel/,
        );
        await asBefore();
      }));
    },
  );

  test(
    `a CHANGEOVER that names a file is ignored with a warning (${runtime.name})`,
    { timeout: 120_000 },
    async (t) => {
      const file = openSync(fileURLToPath(import.meta.url), "r");
      t.after(() => closeSync(file));
      await ignores(start(t, runtime, value(), [file]), /descriptor 3, which is not a channel/);
    },
  );

  test(
    `a channel on which nobody is left makes a first generation (${runtime.name})`,
    { timeout: 120_000 },
    async (t) => {
      const chain = start(t, runtime, value(), ["pipe"]);
      (chain.first.stdio[3] as net.Socket).on("error", () => {}).destroy();
      await ignores(chain, /the parent died before it said what it passed/);
    },
  );

  const says: readonly { title: string; text: string; reason: RegExp }[] = [
    { title: "says garbage", text: "HTTP/1.1 400\r\n\r\n", reason: /not JSON/ },
    { title: "says no hello", text: '{"v":1,"type":"commit"}\n', reason: /"commit" before hello/ },
    {
      title: "speaks another version",
      text: '{"v":2,"type":"hello"}\n',
      reason: /version 2 is not spoken/,
    },
    {
      title: "announces a descriptor that it has not passed",
      text: JSON.stringify({
        v: 1,
        type: "hello",
        generation: 2,
        pid: process.pid,
        runtime: "node",
        sockets: [{ fd: 99, kind: "tcp", identity: "main", address: "127.0.0.1:1" }],
        deadlineMs: 1000,
        probationMs: 0,
        draining: [],
      }) + "\n",
      reason: /descriptor 99 .*is not open/,
    },
  ];
  for (const { title, text, reason } of says) {
    test(
      `a stranger on the channel that ${title} is refused (${runtime.name})`,
      { timeout: 120_000 },
      async (t) => {
        const chain = start(t, runtime, value(), ["pipe"]);
        const channel = chain.first.stdio[3] as net.Socket;
        channel.on("error", () => {});
        let answer = "";
        channel.on("data", (bytes: Uint8Array) => answer += new TextDecoder().decode(bytes));
        channel.write(text);
        await refuses(chain, reason);
        await until("the stranger is told", () => answer.includes('"type":"fail"'));
      },
    );
  }
}
