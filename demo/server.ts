// The server of the demo. The demo copies it to a temporary folder, edits VERSION in the copy, and sends SIGHUP.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { Upgrader } from "../mod.ts";

const VERSION = "v0.0.1";

const say = (event: string, details: object = {}) =>
  console.log(JSON.stringify({ event, pid: process.pid, version: VERSION, ...details }));
say("starting");

// What to start at the next SIGHUP. Without `command` it is the command line of this process.
const next = new URL("next.json", import.meta.url);
const upgrader = await Upgrader.create({ command: () => JSON.parse(readFileSync(next, "utf8")) });
upgrader.addEventListener("upgraded", (event) => say("upgraded", (event as CustomEvent).detail));
upgrader.addEventListener("upgrade-failed", (event) => {
  say("upgrade-failed", { message: (event as CustomEvent).detail.error.message });
});

await setTimeout(1000); // a cache to fill, a database to reach

const server = createServer((request, response) => {
  response.setHeader("x-generation", `${upgrader.generation}`);
  if (request.method === "POST") request.pipe(response);
  else response.end(`${VERSION}\n`);
});
await upgrader.listen({ port: 0, hostname: "127.0.0.1", name: "web" }, server);

await upgrader.ready();
say("ready", { status: upgrader.status() });
await upgrader.exit;
await upgrader.drain();
say("drained");
