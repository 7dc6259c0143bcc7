// The one handler of every server of the benchmark, in the forms that the runtimes take: GET is answered with "ok", a POST and
// a WebSocket's message come back as they were, and every response says who gave it.
import { Buffer } from "node:buffer";
import process from "node:process";

/** Who answers: the load client tells the old process from the new one by it. */
export const identity = String(process.pid);

/** Milliseconds since 1970, finer than `Date.now()`: comparable between the processes of one machine. */
export const now = () => performance.timeOrigin + performance.now();

/** The library as npm's users get it: `npm run bench` has built it, or `npm run build`. */
export const library = () =>
  import(process.env.BENCH_BUILD ?? new URL("../../dist/mod.js", import.meta.url).href);

/** One JSON line on standard output, in one write: several generations share the pipe. */
export function say(what) {
  process.stdout.write(`${JSON.stringify({ pid: process.pid, at: now(), ...what })}\n`);
}

/** A `node:http` server with the handler; WebSockets through the package ws when `webSockets` is set. */
export async function nodeServer({ webSockets = process.env.WEB_SOCKETS === "1" } = {}) {
  // Not by an import: whoever uses the runtime's own server loads none of it.
  const { createServer } = await import("node:http");
  const server = createServer(handle);
  if (webSockets) {
    const { WebSocketServer } = await import("ws");
    new WebSocketServer({ server, perMessageDeflate: false }).on("connection", (socket) => {
      socket.on("message", (data) => socket.send(String(data)));
      socket.on("error", () => {});
    });
  }
  return server;
}

function handle(request, response) {
  response.setHeader("x-generation", identity);
  if (request.method !== "POST") {
    response.setHeader("content-length", 2);
    return void response.end("ok");
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    response.setHeader("content-length", body.length);
    response.end(body);
  });
}

const headers = { "x-generation": identity };

async function answer(request) {
  return new Response(request.method === "POST" ? await request.bytes() : "ok", { headers });
}

/** `Deno.serve` with the handler. */
export function serveDeno(options) {
  return Deno.serve({ ...options, onListen() {} }, (request) => {
    if (request.headers.get("upgrade") !== "websocket") return answer(request);
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => socket.send(data);
    socket.onerror = () => {};
    return response;
  });
}

/** `Bun.serve` with the handler. */
export function serveBun(options) {
  return Bun.serve({
    ...options,
    fetch(request, server) {
      if (request.headers.get("upgrade") !== "websocket") return answer(request);
      return server.upgrade(request) ? undefined : new Response("no", { status: 400 });
    },
    websocket: { message: (socket, data) => void socket.send(data) },
  });
}
