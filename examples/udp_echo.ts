// A UDP server on Node, Deno or Bun that answers what it is sent. Start it, edit it, send it SIGHUP: no datagram is lost.
//
//   node examples/udp_echo.ts          (Node 22.18 or newer reads TypeScript)
//   deno run -A examples/udp_echo.ts
//   bun examples/udp_echo.ts
import { createSocket } from "node:dgram";
import process from "node:process";
import { Upgrader } from "../mod.ts"; // in your program: "changeover"

const upg = await Upgrader.create();
const socket = createSocket("udp4"); // "udp6" without a host name is IPv4 and IPv6
socket.on("message", (message, from) => {
  socket.send(
    `generation ${upg.generation} on ${upg.runtime}: ${message}`,
    from.port,
    from.address,
  );
});
await upg.bind(process.env["LISTEN"] ?? "127.0.0.1:5353", socket);
await upg.ready();
console.log(JSON.stringify({ event: "ready", ...upg.status() }));

const reason = await upg.exit;
await upg.drain();
console.log(JSON.stringify({ event: "left", reason, ...upg.status() }));
