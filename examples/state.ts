// A counter in memory that survives upgrades, on Node, Deno or Bun. While it travels, nothing is counted that would be
// forgotten: requests that come in between wait until it is known who goes on, and ask the successor if it is not us.
import { createServer } from "node:http";
import process from "node:process";
import { Upgrader } from "../mod.ts"; // in your program: "changeover"

const upg = await Upgrader.create();
const received = await upg.received("counter");
let count = received === undefined ? 0 : Number(await received.text());

let thawed = Promise.resolve();
let thaw = () => {};
upg.handOver("counter", () => String(count), {
  freeze: () => {
    thawed = new Promise((resolve) => thaw = resolve);
  },
  thaw: () => thaw(), // the upgrade has failed: this process goes on
});

const server = createServer(async (_request, response) => {
  const counts = await Promise.race([thawed.then(() => true), upg.exit.then(() => false)]);
  if (counts) response.end(`${++count}\n`);
  else response.writeHead(503, { "retry-after": "0", "connection": "close" }).end();
});
await upg.listen(process.env["LISTEN"] ?? "127.0.0.1:8080", server);
await upg.ready();
console.log(JSON.stringify({ event: "ready", ...upg.status() }));

const reason = await upg.exit;
await upg.drain();
console.log(JSON.stringify({ event: "left", reason, ...upg.status() }));
