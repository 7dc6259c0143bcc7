// Hands BYTES of state to its successor, in pieces of 256 KiB; the successor says how long it took to get them.
import { createServer } from "node:http";
import process from "node:process";
import { library, now, say } from "./handler.mjs";

const { Upgrader } = await library();

const bytes = Number(process.env.BYTES);
const piece = new Uint8Array(256 * 1024).fill(120);

async function* produce() {
  for (let sent = 0; sent < bytes; sent += piece.length) yield piece;
}

const upgrader = await Upgrader.create({ logger: false });
let received = 0;
const begun = now();
const state = await upgrader.received("blob");
if (state !== undefined) { for await (const chunk of state) received += chunk.length; }
const tookMs = now() - begun;
upgrader.handOver("blob", produce);
await upgrader.listen({ port: 0, hostname: "127.0.0.1", name: "main" }, createServer());
upgrader.addEventListener("upgrade-failed", ({ detail }) => {
  say({ failed: detail.error?.message ?? "unknown" });
});
await upgrader.ready();
say({
  ready: true,
  generation: upgrader.generation,
  port: upgrader.addresses[0].port,
  received,
  tookMs,
});
await upgrader.exit;
await upgrader.drain();
