// A node:http server on Node, Deno or Bun. Start it, edit it, send it SIGHUP: nobody notices.
//
//   node examples/node_http.ts          (Node 22.18 or newer reads TypeScript)
//   deno run -A examples/node_http.ts
//   bun examples/node_http.ts
import { createServer } from "node:http";
import process from "node:process";
import { Upgrader } from "../mod.ts"; // in your program: "changeover"

const upg = await Upgrader.create();
const server = createServer((_request, response) => {
  response.end(`generation ${upg.generation} on ${upg.runtime}\n`);
});
await upg.listen(process.env["LISTEN"] ?? "127.0.0.1:8080", server);
await upg.ready();
console.log(JSON.stringify({ event: "ready", ...upg.status() }));

const reason = await upg.exit;
await upg.drain();
console.log(JSON.stringify({ event: "left", reason, ...upg.status() }));
