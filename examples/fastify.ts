// Fastify on Node, Deno or Bun: its instance is passed as it is, before its own listen() is called.
import process from "node:process";
import { fastify } from "fastify";
import { Upgrader } from "../mod.ts"; // in your program: "changeover"

const upg = await Upgrader.create();
const app = fastify();
app.get("/", () => `generation ${upg.generation} on ${upg.runtime}\n`);
await upg.listen(process.env["LISTEN"] ?? "127.0.0.1:8080", app);
await upg.ready();
console.log(JSON.stringify({ event: "ready", ...upg.status() }));

const reason = await upg.exit;
await upg.drain();
console.log(JSON.stringify({ event: "left", reason, ...upg.status() }));
await app.close(); // its onClose hooks
