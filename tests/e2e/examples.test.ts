// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { Client, credentials } from "@grpc/grpc-js";
import { root } from "../../scripts/runtimes.mjs";
import { Chain, get, isRunning, type Said, until } from "../support/chain.ts";
import { current } from "../support/runtimes.ts";

const folder = join(root, "examples");
const runtime = current();

interface Example {
  /** Where it runs; default: everywhere. */
  readonly only?: string;
  /** Asks it once, on a connection of its own. */
  readonly ask: (port: number) => Promise<string>;
  /** What a generation answers; default: which one it is. */
  readonly answer?: (greeting: string, generation: number) => string;
  /** What it needs of its environment. */
  readonly env?: Record<string, string>;
  /** What happens before it is replaced. */
  readonly before?: (port: number) => void | Promise<void>;
}

const scratch = mkdtempSync(join(tmpdir(), "co-"));
const versionFile = join(scratch, "VERSION");
after(() => rmSync(scratch, { recursive: true }));
const pem = (name: string) => join(root, "tests/fixtures/tls", `${name}.pem`);

const examples: Readonly<Record<string, Example>> = {
  "bun_serve.ts": { only: "bun", ask: askHttp },
  "deno_serve.ts": { only: "deno", ask: askHttp },
  "elysia.ts": { ask: askHttp },
  "express.ts": { ask: askHttp },
  "fastify.ts": { ask: askHttp },
  "grpc.ts": { ask: askGrpc },
  "hono.ts": { ask: askHttp },
  "https.ts": { ask: askHttps, env: { CERT: pem("cert"), KEY: pem("key") } },
  "node_http.ts": { ask: askHttp },
  "serve.ts": { ask: askHttp },
  "state.ts": { ask: askHttp, answer: (_greeting, generation) => `${generation}\n` },
  "udp_echo.ts": { ask: askUdp, answer: (greeting) => `${greeting.trim()}: hello` },
  "version.ts": {
    ask: askVersion,
    answer: (_greeting, generation) => `v0.0.${generation}\n`,
    env: { VERSION_FILE: versionFile },
    before: () => writeFileSync(versionFile, "v0.0.2\n"),
  },
  "ws_chat.ts": { ask: askHttp, before: chat },
};

test("there is a test for every example", () => {
  const names = readdirSync(folder).filter((name) => name.endsWith(".ts")).sort();
  assert.deepEqual(names, Object.keys(examples).sort());
});

for (const [name, example] of Object.entries(examples)) {
  const { only = runtime.runtime } = example;
  const skip = only !== runtime.runtime && `runs on ${only} only`;
  test(
    `examples/${name} serves, is replaced after SIGHUP, and leaves after SIGTERM`,
    { timeout: 60_000, skip },
    () => live(name, example),
  );
}

async function live(name: string, { ask, answer = (greeting) => greeting, ...more }: Example) {
  writeFileSync(versionFile, "v0.0.1\n");
  const chain = new Chain({
    runtime,
    script: join(folder, name),
    env: { LISTEN: "127.0.0.1:0", ...more.env },
  });
  const greeting = (generation: number) =>
    answer(`generation ${generation} on ${runtime.runtime}\n`, generation);
  const portOf = (said: Said): number => said["sockets"][0].port;
  try {
    const first = await chain.event("ready", 1);
    const port = portOf(first);
    assert.equal(await ask(port), greeting(1));

    await more.before?.(port);
    process.kill(first.pid, "SIGHUP");
    const second = await chain.event("ready", 2);
    assert.notEqual(second.pid, first.pid);
    assert.equal(portOf(second), port);
    const left = await chain.event("left", 1);
    assert.equal(left["reason"], "upgraded");
    assert.equal(left["drain"].cut, 0);
    await until("the first generation has ended by itself", () => !isRunning(first.pid));
    assert.equal(await ask(port), greeting(2));

    process.kill(second.pid, "SIGTERM");
    const last = await chain.event("left", 2);
    assert.equal(last["reason"], "stopped");
    assert.equal(last["drain"].cut, 0);
    await until("the second generation has ended by itself", () => !isRunning(second.pid));
    assert.deepEqual(chain.said.map(({ event, generation }) => `${event} ${generation}`).sort(), [
      "left 1",
      "left 2",
      "ready 1",
      "ready 2",
    ]);
  } finally {
    await chain.end();
  }
}

async function askHttp(port: number): Promise<string> {
  const { status, text } = await get({ host: "127.0.0.1", port });
  assert.equal(status, 200);
  return text;
}

async function askVersion(port: number): Promise<string> {
  return (await get({ host: "127.0.0.1", port }, "/version")).text;
}

function askHttps(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, agent: false, rejectUnauthorized: false };
    const sent = request(options, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
      response.on("end", () => resolve(text));
    });
    sent.on("error", reject);
    sent.end();
  });
}

/** Says something, and hears it; the client stays until it is told to go. */
function chat(port: number): Promise<void> {
  const { WebSocket } = createRequire(import.meta.url)("ws");
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("open", () => socket.send("hello"));
    socket.on("message", (data: Uint8Array) => {
      if (String(data) === "hello") resolve();
      else reject(new Error(`heard ${data}`));
    });
  });
}

function askUdp(port: number): Promise<string> {
  const socket = createSocket("udp4");
  const answer = new Promise<string>((resolve, reject) => {
    socket.once("message", (message) => resolve(message.toString()));
    socket.once("error", reject);
  });
  socket.send("hello", port, "127.0.0.1");
  return answer.finally(() => socket.close());
}

function askGrpc(port: number): Promise<string> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const answer = new Promise<string>((resolve, reject) => {
    client.makeUnaryRequest(
      "/example.Greeter/Hello",
      (text: string) => Buffer.from(text),
      (bytes) => bytes.toString(),
      "hello",
      (error, text = "") => error ? reject(error) : resolve(text),
    );
  });
  return answer.finally(() => client.close());
}
