// The server of bench/adoption.ts and bench/adoption_soak.ts: `KIND=native` is `Bun.serve`, `Deno.serve` or, on Node,
// `node:http`; `KIND=node` is `node:http`. Prints a JSON line when it is ready, and one when it was replaced.
import { createServer } from "node:http";
import process from "node:process";
import { Upgrader } from "../mod.ts";

// deno-lint-ignore no-explicit-any -- the global objects of three runtimes
const { Bun, Deno } = globalThis as any;

const upgrader = await Upgrader.create({ logger: false, idleGraceMs: 200, drainTimeoutMs: 2000 });
const { generation, runtime } = upgrader;
const say = (more: object) =>
  console.log(JSON.stringify({ generation, pid: process.pid, ...more }));

const headers = { "content-type": "text/plain", "content-length": "5" };
const respond = () => new Response("hello", { headers });
const httpServer = () =>
  createServer((_request, response) => response.writeHead(200, headers).end("hello"));

const where = { port: 0, hostname: "127.0.0.1", name: "main" };
const began = performance.now();
if (process.env["KIND"] === "node" || runtime === "node") {
  await upgrader.listen(where, httpServer());
} else {
  await upgrader.listen(
    where,
    (at) =>
      runtime === "bun"
        ? Bun.serve({ ...at, fetch: respond })
        : Deno.serve({ ...at, onListen() {} }, respond),
  );
}
const listenMs = performance.now() - began;
upgrader.addEventListener("upgraded", (event) => {
  say({ upgraded: (event as CustomEvent).detail.report });
});
await upgrader.ready();
const [address] = upgrader.addresses;
say({ ready: true, listenMs, port: address?.kind === "tcp" ? address.port : 0 });
await upgrader.exit;
await upgrader.drain();
