// A server in one call, on Node (with `npm install srvx`), Deno or Bun. Start it, edit it, send it SIGHUP: nobody notices.
//
//   node examples/serve.ts          (Node 22.18 or newer reads TypeScript)
//   deno run -A examples/serve.ts
//   bun examples/serve.ts
import process from "node:process";
import { serve } from "../src/serve/mod.ts"; // in your program: "changeover/serve"

const { upgrader, finished } = await serve({
  address: process.env["LISTEN"] ?? "127.0.0.1:8080",
  fetch: (_request, { upgrader }) =>
    new Response(`generation ${upgrader.generation} on ${upgrader.runtime}\n`),
});
console.log(JSON.stringify({ event: "ready", ...upgrader.status() }));

const { reason } = await finished;
console.log(JSON.stringify({ event: "left", reason, ...upgrader.status() }));
