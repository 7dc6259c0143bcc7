// The server that `bench/prove.ts` upgrades: answers GET with "ok", echoes POST, and says which generation it is.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import process from "node:process";
import { Upgrader } from "../mod.ts";

const upgrader = await Upgrader.create({
  maxDraining: 8,
  idleGraceMs: 1000,
  logger: false,
  // The proof decides before each upgrade what comes next.
  command: () => JSON.parse(readFileSync(process.env["NEXT"] as string, "utf8")),
});
const identity = `${upgrader.generation} ${upgrader.runtime} ${process.pid}`;

await upgrader.listen(
  { port: 0, hostname: "127.0.0.1", name: "main" },
  createServer((request, response) => {
    response.setHeader("x-generation", identity);
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      const body = request.method === "POST" ? Buffer.concat(chunks) : Buffer.from("ok");
      response.setHeader("content-length", body.length);
      response.end(body);
    });
  }),
);
upgrader.addEventListener(
  "upgraded",
  (event) => say({ upgraded: (event as CustomEvent).detail.report }),
);
upgrader.addEventListener(
  "upgrade-failed",
  (event) => say({ failed: (event as CustomEvent).detail.error?.message }),
);
await upgrader.ready();
const [address] = upgrader.addresses;
say({
  ready: upgrader.generation,
  pid: process.pid,
  port: address?.kind === "tcp" ? address.port : 0,
});
await upgrader.exit;
say({ drained: await upgrader.drain(), generation: upgrader.generation });

function say(what: object): void {
  console.log(JSON.stringify(what));
}
