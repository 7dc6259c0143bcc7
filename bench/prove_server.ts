// The server that `bench/prove.ts` upgrades: of the kind that SERVER names, on a port or on the Unix socket that UNIX
// names. It answers GET with "ok", echoes POST and WebSockets, has streams of events, and says which generation it is.
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import net from "node:net";
import process from "node:process";
import { type AddressInput, Upgrader } from "../mod.ts";
import { LongLived } from "./long_lived.ts";

const upgrader = await Upgrader.create({
  maxDraining: 8,
  idleGraceMs: 1000,
  logger: false,
  // The proof decides before each upgrade what comes next.
  command: () => JSON.parse(readFileSync(process.env["NEXT"] as string, "utf8")),
});
const identity = `${upgrader.generation} ${upgrader.runtime} ${process.pid}`;
const longLived = new LongLived(upgrader, identity);

const path = process.env["UNIX"];
const address: AddressInput = path === undefined
  ? { port: 0, hostname: "127.0.0.1", name: "main" }
  : { path, name: "main" };
const pem = (name: string) =>
  readFileSync(new URL(`../tests/fixtures/tls/${name}.pem`, import.meta.url), "utf8");
const certificate = () => ({ cert: pem("cert"), key: pem("key") });

const respond: RequestListener = (request, response) => {
  response.setHeader("x-generation", identity);
  const chunks: Uint8Array[] = [];
  request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  request.on("end", () => {
    const body = request.method === "POST" ? Buffer.concat(chunks) : Buffer.from("ok");
    response.setHeader("content-length", body.length);
    response.end(body);
  });
};

/** HTTP by hand, GET only: how a protocol of one's own says goodbye, for which the drain of `node:net` waits. */
let isLeaving = false;
upgrader.exit.then(() => isLeaving = true);
const head = `HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-generation: ${identity}\r\n`;
function converse(socket: net.Socket): void {
  let pending = "";
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Uint8Array) => {
    const requests = (pending + chunk.toString()).split("\r\n\r\n");
    pending = requests.pop() ?? "";
    for (const request of requests) {
      const isLast = isLeaving || /^connection: close$/im.test(request);
      if (isLast) return void socket.end(`${head}connection: close\r\n\r\nok`);
      socket.write(`${head}\r\nok`);
    }
  });
}

const fetch = longLived.with(async (request) =>
  new Response(request.method === "POST" ? await request.bytes() : "ok", {
    headers: { "x-generation": identity },
  })
);
const { websocket } = longLived;
// deno-lint-ignore no-explicit-any -- the global objects of two runtimes
const { Bun, Deno } = globalThis as any;
const native = (tls: object) =>
  upgrader.listen(
    address,
    (at) =>
      Deno === undefined
        ? Bun.serve({ ...at, ...("cert" in tls ? { tls } : {}), fetch, websocket })
        : Deno.serve({ ...at, ...tls, onListen() {} }, fetch),
  );

const servers: Record<string, () => Promise<unknown>> = {
  "node:http": () => upgrader.listen(address, longLived.on(createServer(), respond)),
  "node:https": () =>
    upgrader.listen(address, longLived.on(createHttpsServer(certificate()), respond)),
  "node:net": () => upgrader.listen(address, net.createServer({ noDelay: true }, converse)),
  "native": () => native({}),
  "native tls": () => native(certificate()),
};
// Node has no server of its own besides those of node: modules.
const instead: Record<string, string> = { "native": "node:http", "native tls": "node:https" };
const kind = process.env["SERVER"] ?? "node:http";
await servers[upgrader.runtime === "node" ? instead[kind] ?? kind : kind]!();
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
