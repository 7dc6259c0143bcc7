// COUNT sockets, each with a server of its own: KIND=node is `node:net`, KIND=native the runtime's own HTTP server.
import net from "node:net";
import process from "node:process";
import { library, say, serveBun, serveDeno } from "./handler.mjs";

const { Upgrader } = await library();

const upgrader = await Upgrader.create({ logger: false });
const native = process.env.KIND === "native" ? upgrader.runtime : "node";
for (let n = 0; n < Number(process.env.COUNT); n++) {
  const address = { port: 0, hostname: "127.0.0.1", name: `s${n}` };
  if (native === "bun") await upgrader.listen(address, (at) => serveBun(at));
  else if (native === "deno") await upgrader.listen(address, (at) => serveDeno(at));
  else await upgrader.listen(address, net.createServer((socket) => socket.end("hello")));
}
upgrader.addEventListener("upgrade-failed", ({ detail }) => {
  say({ failed: detail.error?.message ?? "unknown" });
});
upgrader.addEventListener("upgraded", ({ detail }) => say({ upgraded: detail.report }));
await upgrader.ready();
say({ ready: true, generation: upgrader.generation, port: upgrader.addresses[0].port });
await upgrader.exit;
await upgrader.drain();
