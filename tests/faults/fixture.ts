// The server of the table of deaths. It announces the point at which it is struck and is struck there by itself.
// Each process takes orders on a TCP connection of its own, so that they never reach another generation.
import { existsSync, rmSync, writeSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Socket } from "node:net";
import process from "node:process";
import type { Channel } from "../../src/backend/backend.ts";
import { loadBackend } from "../../src/backend/load.ts";
import { UpgradeError, Upgrader } from "../../mod.ts";
import { DRAIN_TIMEOUT_MS, interpose, MANUAL_MS, type ManualTimer } from "./interpose.ts";
import type { Row } from "./row.ts";

/** What the player sets through the environment variable SCENE. */
export interface Scene {
  readonly fault: Row["fault"];
  readonly probation: boolean;
  readonly server: "http" | "native";
  readonly port: number;
  /** How many further sockets, each with an echo server of its own. */
  readonly more: number;
  /** Folder of the PID file and the Unix socket. */
  readonly run: string;
  /** What was stopped goes on when this file exists. */
  readonly goOn: string;
}

const scene = JSON.parse(process.env["SCENE"] ?? "{}") as Scene;
const role = process.env["ROLE"] ?? "parent";
let fault = scene.fault?.who === role ? scene.fault : undefined;
const say = (event: string, more: object = {}) => {
  // In one call: the generations share the pipe.
  writeSync(1, JSON.stringify({ event, role, pid: process.pid, ...more }) + "\n");
};

const HALF = '{"v":1,"type":"rea';
const cell = new Int32Array(new SharedArrayBuffer(4));
function hold(until?: string): void {
  while (until === undefined || !existsSync(until)) Atomics.wait(cell, 0, 0, 10);
}

function kill(signal: "SIGKILL" | "SIGSTOP"): void {
  process.kill(process.pid, signal);
}

function strike(at: string, channel: Channel | undefined): void {
  if (fault?.at !== at) return;
  const { act, late } = fault;
  fault = undefined;
  const say1 = (text: string) => channel?.write(new TextEncoder().encode(text));
  say("struck");
  switch (act) {
    case "is killed":
      kill("SIGKILL");
      return hold();
    case "is stopped":
      kill("SIGSTOP");
      hold(scene.goOn);
      break;
    case "blocks":
      hold(scene.goOn);
      break;
    case "blocks for good":
      return hold();
    case "exits":
      return process.exit(3);
    case "says garbage":
      say1("this is not JSON\n");
      break;
    case "says a huge frame":
      say1(`{"v":1,"type":"${"x".repeat(2 * 1024 * 1024)}"}\n`);
      break;
    case "says half a frame and is killed":
      channel?.writeSync(new TextEncoder().encode(HALF));
      kill("SIGKILL");
      return hold();
    case "says half a frame and no more":
      channel?.writeSync(new TextEncoder().encode(HALF));
      return hold();
    case "loses its PID file's folder":
      rmSync(scene.run, { recursive: true });
      break;
  }
  if (late) fire("upgrade");
}

let fire: (timer: ManualTimer) => void = () => {};
let own: Channel | undefined;
strike("starts", undefined);
const backend = await loadBackend();
fire = interpose(backend, {
  frame(what, channel) {
    if (what === "reads hello") own = channel;
    if (what === "reads probation" && role !== "parent") tell("x-probation");
    strike(what, channel);
  },
});
function tell(type: string): void {
  own?.write(new TextEncoder().encode(JSON.stringify({ v: 1, type }) + "\n"));
}

const upgrader = await Upgrader.create({
  backend,
  pidFile: `${scene.run}/app.pid`,
  control: `${scene.run}/control.sock`,
  idleGraceMs: 1000,
  upgradeTimeoutMs: MANUAL_MS.upgrade,
  drainTimeoutMs: DRAIN_TIMEOUT_MS,
  ...(scene.probation ? { probationMs: MANUAL_MS.probation } : {}),
});
const { generation, runtime } = upgrader;

const friends = new Set<Socket>();
const orders = createServer((socket) => {
  friends.add(socket);
  let text = "";
  socket.on("error", () => {});
  socket.on("close", () => friends.delete(socket));
  socket.on("data", (bytes: Uint8Array) => {
    const lines = (text + new TextDecoder().decode(bytes)).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) obey(JSON.parse(line));
  });
});
await new Promise<void>((resolve) => orders.listen(0, "127.0.0.1", resolve));
const { port: orderPort } = orders.address() as { port: number };
say("created", { generation, orders: orderPort });

interface Order {
  readonly do: "upgrade" | "stop" | "fire" | "status";
  readonly timer?: ManualTimer;
  readonly options?: { command: string[]; env: Record<string, string> };
}

function obey(order: Order): void {
  if (order.do === "stop") upgrader.stop();
  else if (order.do === "fire") fire(order.timer as ManualTimer);
  else if (order.do === "status") say("status", { state: upgrader.status().state });
  else {
    upgrader.upgrade(order.options ?? {}).then(
      () => say("told", { code: "upgraded" }),
      (error) =>
        say("told", {
          code: UpgradeError.is(error) ? error.code : error.name,
          message: error.message,
          exitCode: error.exitCode,
          signal: error.signal,
        }),
    );
  }
}

tell("x-joined");
strike("has joined", own);

const headers = { "x-generation": `${generation} ${runtime} ${process.pid}` };
const globals = globalThis as unknown as Record<
  string,
  Record<string, (...args: unknown[]) => unknown>
>;
const http = () =>
  createHttpServer((request, response) => {
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      const body = request.method === "POST" ? Buffer.concat(chunks) : Buffer.from(`${generation}`);
      response.writeHead(200, { ...headers, "content-length": body.length });
      response.end(body);
    });
  });
const handler = async (request: Request) =>
  new Response(request.method === "POST" ? await request.bytes() : `${generation}`, { headers });

const main = { port: scene.port, hostname: "127.0.0.1", name: "main" };
if (scene.server === "native" && runtime === "deno") {
  await upgrader.listen(
    main,
    (at) => globals["Deno"]!["serve"]!({ ...at, onListen() {} }, handler),
  );
} else if (scene.server === "native" && runtime === "bun") {
  await upgrader.listen(main, (at) => globals["Bun"]!["serve"]!({ ...at, fetch: handler }));
} else await upgrader.listen(main, http());
// What is not read keeps a connection open.
const echo = () => createServer((socket) => void socket.resume().end(`${generation}\n`));
await upgrader.listen(`unix:${scene.run}/app.sock`, echo());
for (let n = 0; n < scene.more; n++) {
  await upgrader.listen({ port: 0, hostname: "127.0.0.1", name: `more-${n}` }, echo());
}

try {
  await upgrader.ready();
  say("ready", { generation, addresses: upgrader.addresses });
} catch (error) {
  say("not-ready", { generation, code: (error as UpgradeError).code });
}
const reason = await upgrader.exit;
say("exit", { generation, reason });
say("drained", { generation, ...await upgrader.drain() });
orders.close();
for (const friend of friends) friend.destroy();
