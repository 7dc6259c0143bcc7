// One server of SERVER's kind, which answers every request with the same bytes of HTTP, whoever wrote them: so that one client
// measures servers of all kinds.
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import net from "node:net";
import process from "node:process";
import tls from "node:tls";
import { library, say } from "./handler.mjs";

const { Upgrader } = await library();

const pem = (name) =>
  readFileSync(new URL(`../../tests/fixtures/tls/${name}.pem`, import.meta.url), "utf8");
const certificate = { cert: pem("cert"), key: pem("key") };
const upgrader = await Upgrader.create({ logger: false, idleGraceMs: 200, drainTimeoutMs: 2000 });

const headers = { "content-type": "text/plain", "content-length": "5" };
const handle = (_request, response) => void response.writeHead(200, headers).end("hello");
const respond = () => new Response("hello", { headers });
const raw = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello";
const rawBytes = new TextEncoder().encode(raw);
const talk = (socket) => {
  socket.on("data", () => socket.write(raw));
  socket.on("error", () => {});
};

async function accept(listener) {
  for await (const connection of listener) {
    (async () => {
      const buffer = new Uint8Array(4096);
      while (await connection.read(buffer) !== null) await connection.write(rawBytes);
      connection.close();
    })().catch(() => {});
  }
}
function accepting(listener) {
  accept(listener).catch(() => {});
  return listener;
}
const bunSocket = { data: (socket) => void socket.write(rawBytes), error() {} };
const { Bun, Deno } = globalThis;

const kinds = {
  "node:http": () => createHttpServer(handle),
  "node:https": () => createHttpsServer(certificate, handle),
  "node:net": () => net.createServer({ noDelay: true }, talk),
  "node:tls": () => tls.createServer({ ...certificate, noDelay: true }, talk),
  "Deno.serve": () => (at) => Deno.serve({ ...at, onListen() {} }, respond),
  "Deno.serve, TLS": () => (at) => Deno.serve({ ...at, ...certificate, onListen() {} }, respond),
  "Deno.listen": () => (at) => accepting(Deno.listen(at)),
  "Bun.serve": () => (at) => Bun.serve({ ...at, fetch: respond }),
  "Bun.serve, TLS": () => (at) => Bun.serve({ ...at, tls: certificate, fetch: respond }),
  "Bun.listen": () => (at) => Bun.listen({ ...at, socket: bunSocket }),
};

await upgrader.listen(
  { port: 0, hostname: "127.0.0.1", name: "main" },
  kinds[process.env.SERVER](),
);
upgrader.addEventListener("upgrade-failed", ({ detail }) => {
  say({ failed: detail.error?.message ?? "unknown" });
});
await upgrader.ready();
say({ ready: true, generation: upgrader.generation, port: upgrader.addresses[0].port });
await upgrader.exit;
await upgrader.drain();
process.exit(0);
