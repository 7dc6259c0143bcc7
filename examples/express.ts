// Express on Node, Deno or Bun. `http.createServer(app)` as in node_http.ts would do as well.
import process from "node:process";
// @ts-ignore: express has no types of its own; in your program @types/express brings them
import express from "express";
import { Upgrader } from "../mod.ts"; // in your program: "changeover"

const upg = await Upgrader.create();
const app = express();
app.get("/", (_request: unknown, response: { send(text: string): void }) => {
  response.send(`generation ${upg.generation} on ${upg.runtime}\n`);
});
await upg.listen(process.env["LISTEN"] ?? "127.0.0.1:8080", (at) => app.listen(at));
await upg.ready();
console.log(JSON.stringify({ event: "ready", ...upg.status() }));

const reason = await upg.exit;
await upg.drain();
console.log(JSON.stringify({ event: "left", reason, ...upg.status() }));
