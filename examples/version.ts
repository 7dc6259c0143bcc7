// Which version answers? `/version` says what the file VERSION said when this generation began, and a second of
// initialisation is noticed by nobody: Node (with `npm install srvx`), Deno.serve on Deno, Bun.serve on Bun.
//
//   echo v0.0.1 > VERSION; node examples/version.ts            (or: deno run -A, or: bun)
//   while sleep 0.1; do curl -s http://127.0.0.1:8080/version; done
//   echo v0.0.2 > VERSION; kill -HUP <the pid that was printed>
import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { serve } from "../src/serve/mod.ts"; // in your program: "changeover/serve"

const version = readFileSync(process.env["VERSION_FILE"] ?? "VERSION", "utf8").trim();
await sleep(1000); // reads its configuration, connects to its database, ...

const { upgrader, finished } = await serve({
  address: process.env["LISTEN"] ?? "127.0.0.1:8080",
  fetch: ({ url }) =>
    new URL(url).pathname === "/version"
      ? new Response(`${version}\n`)
      : new Response("not found\n", { status: 404 }),
});
console.log(JSON.stringify({ event: "ready", ...upgrader.status() }));

const { reason } = await finished;
console.log(JSON.stringify({ event: "left", reason, ...upgrader.status() }));
