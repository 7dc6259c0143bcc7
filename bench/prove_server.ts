// The server that `bench/prove.ts` upgrades (SERVER=native: the runtime's own where it has one): answers GET with "ok", echoes POST, and says which generation it is.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import process from "node:process";
import { Upgrader } from "../mod.ts";

const upgrader = await Upgrader.create({
  maxDraining: 8,
  idleGraceMs: 1000,
  logger: false,
  // The proof decides before each upgrade what comes next.
  command: () => JSON.parse(readFileSync(process.env["NEXT"] as string, "utf8")),
});
const identity = `${upgrader.generation} ${upgrader.runtime} ${process.pid}`;

const address = { port: 0, hostname: "127.0.0.1", name: "main" };
const nodeHttp = () =>
  createServer((request, response) => {
    response.setHeader("x-generation", identity);
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      const body = request.method === "POST" ? Buffer.concat(chunks) : Buffer.from("ok");
      response.setHeader("content-length", body.length);
      response.end(body);
    });
  });
const fetch = async (request: Request) =>
  new Response(request.method === "POST" ? await request.bytes() : "ok", {
    headers: { "x-generation": identity },
  });
// deno-lint-ignore no-explicit-any -- the global objects of two runtimes
const { Bun, Deno } = globalThis as any;

// Node has no server of its own besides node:http.
if (process.env["SERVER"] !== "native" || upgrader.runtime === "node") {
  await upgrader.listen(address, nodeHttp());
} else if (upgrader.runtime === "deno") {
  await upgrader.listen(address, (at) => Deno.serve({ ...at, onListen() {} }, fetch));
} else await upgrader.listen(address, (at) => Bun.serve({ ...at, fetch }));
upgrader.addEventListener(
  "upgraded",
  (event) => say({ upgraded: (event as CustomEvent).detail.report }),
);
upgrader.addEventListener(
  "upgrade-failed",
  (event) => say({ failed: (event as CustomEvent).detail.error?.message }),
);
await upgrader.ready();
const [bound] = upgrader.addresses;
say({
  ready: upgrader.generation,
  pid: process.pid,
  port: bound?.kind === "tcp" ? bound.port : 0,
});
await upgrader.exit;
say({ drained: await upgrader.drain(), generation: upgrader.generation });

function say(what: object): void {
  console.log(JSON.stringify(what));
}
