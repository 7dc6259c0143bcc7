// HTTPS on Node, Deno or Bun. Each generation reads the certificate anew: a renewed one is in use after SIGHUP, and
// no connection is lost. (In one call, and with the runtime's own server: `tls` of changeover/serve.)
//
//   CERT=/etc/ssl/app/cert.pem KEY=/etc/ssl/app/key.pem node examples/https.ts
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import process from "node:process";
import { Upgrader } from "../mod.ts"; // in your program: "changeover"

const upg = await Upgrader.create();
const server = createServer(
  {
    cert: readFileSync(process.env["CERT"] ?? "cert.pem"),
    key: readFileSync(process.env["KEY"] ?? "key.pem"),
  },
  (_request, response) => {
    response.end(`generation ${upg.generation} on ${upg.runtime}\n`);
  },
);
await upg.listen(process.env["LISTEN"] ?? "127.0.0.1:8443", server);
await upg.ready();
console.log(JSON.stringify({ event: "ready", ...upg.status() }));

const reason = await upg.exit;
await upg.drain();
console.log(JSON.stringify({ event: "left", reason, ...upg.status() }));
