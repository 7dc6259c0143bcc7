// The server of the soak and of the leak test: node:http on one port, the runtime's own server on another. GET is answered
// with "ok", POST and WebSockets are echoed, there are streams of events, and each answer says who gave it. Its command line for the next generation is in a file; BAD
// says what is wrong with this one.
import { Buffer } from "node:buffer";
import { readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { UpgradeError, Upgrader } from "../../mod.ts";
import { LongLived } from "../long_lived.ts";

// deno-lint-ignore no-explicit-any -- the global objects of two runtimes
const { Bun, Deno } = globalThis as any;
const bad = process.argv[2];
if (bad === "exit") process.exit(3);
if (bad === "throw") throw new Error("this version does not work");

const upgrader = await Upgrader.create({
  maxDraining: 8,
  idleGraceMs: 1000,
  logger: false,
  command: () => JSON.parse(readFileSync(process.env["NEXT"] as string, "utf8")),
  ...JSON.parse(process.env["OPTIONS"] ?? "{}"),
});
const { generation, runtime } = upgrader;
const identity = `${generation} ${runtime} ${process.pid}`;
const say = (event: string, more: object = {}) =>
  void writeSync(1, `${JSON.stringify({ event, pid: process.pid, generation, ...more })}\n`);
if (bad === "fail") upgrader.fail("this version does not want to");
// The parent's time runs out.
if (bad === "hang") await new Promise((resolve) => setTimeout(resolve, 120_000));

/** What may leak inside of a process; its heap after everything was collected that can be. */
function self(): string {
  const names = process.eventNames();
  const listeners = names.reduce((sum, name) => sum + process.listenerCount(name as string), 0);
  // Not on Deno and Bun.
  const resources = runtime === "node" ? process.getActiveResourcesInfo().length : 0;
  collectGarbage();
  const heap = process.memoryUsage().heapUsed;
  return JSON.stringify({ listeners, resources, heap });
}

function collectGarbage(): void {
  if (Bun !== undefined) return Bun.gc(true);
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
}

const longLived = new LongLived(upgrader, identity);
const on = (name: string) => ({ port: 0, hostname: "127.0.0.1", name });
await upgrader.listen(
  on("main"),
  longLived.on(createServer(), (request, response) => {
    response.setHeader("x-generation", identity);
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      const body = request.url === "/self"
        ? Buffer.from(self())
        : request.url === "/state"
        ? Buffer.from(JSON.stringify({ state: upgrader.status().state }))
        : request.method === "POST"
        ? Buffer.concat(chunks)
        : Buffer.from("ok");
      response.setHeader("content-length", body.length);
      response.end(body);
    });
  }),
);
const fetch = longLived.with(async (request) =>
  new Response(request.method === "POST" ? await request.bytes() : "ok", {
    headers: { "x-generation": identity },
  })
);
const { websocket } = longLived;
if (Bun !== undefined) {
  await upgrader.listen(on("native"), (at) => Bun.serve({ ...at, fetch, websocket }));
} else if (Deno !== undefined) {
  await upgrader.listen(on("native"), (at) => Deno.serve({ ...at, onListen() {} }, fetch));
} else {
  await upgrader.listen(
    on("native"),
    longLived.on(createServer(), (request, response) => {
      response.setHeader("x-generation", identity);
      if (request.method === "POST") request.pipe(response);
      else response.end("ok");
    }),
  );
}
const told = (event: string, listener: (detail: { error?: unknown }) => void) =>
  upgrader.addEventListener(event, (each) => listener((each as CustomEvent).detail));
told("upgraded", () => say("upgraded"));
told(
  "upgrade-failed",
  ({ error }) => say("failed", { code: UpgradeError.is(error) ? error.code : String(error) }),
);
try {
  await upgrader.ready();
} catch {
  process.exit(1); // called off
}
const port = (name: string) => {
  const address = upgrader.addresses.find((each) => each.name === name);
  return address?.kind === "tcp" ? address.port : 0;
};
say("ready", { port: port("main"), native: port("native") });
if (bad === "regret") {
  setTimeout(() => {
    try {
      upgrader.fail("it is not as good as it looked");
    } catch {
      say("late"); // A busy machine: its probation is over.
    }
  }, 100);
}
await upgrader.exit;
const { cut } = await upgrader.drain();
say("left", { cut });
