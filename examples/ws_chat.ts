// A chat with the package "ws" on Node, Deno or Bun. At an upgrade each client is told to reconnect (close code 1012),
// one after the other; the last lines of the talk travel to the next generation.
import { createServer } from "node:http";
import process from "node:process";
// @ts-ignore: ws has no types of its own; in your program @types/ws brings them
import { WebSocketServer } from "ws";
import { Upgrader } from "../mod.ts"; // in your program: "changeover"

interface Client {
  readonly readyState: number;
  send(text: string): void;
  on(event: "message", listener: (message: Uint8Array) => void): void;
}

const KEPT = 20;

const upg = await Upgrader.create();
const lines: string[] = [];
const before = await upg.received("lines");
if (before !== undefined) lines.push(...await before.json() as string[]);
upg.handOver("lines", () => JSON.stringify(lines));

const server = createServer((_request, response) => {
  response.end(`generation ${upg.generation} on ${upg.runtime}\n`);
});
const chat = new WebSocketServer({ server, maxPayload: 4096 });
chat.on("connection", (client: Client) => {
  for (const line of lines) client.send(line);
  client.on("message", (message) => {
    const line = new TextDecoder().decode(message);
    lines.push(line);
    if (lines.length > KEPT) lines.shift();
    for (const other of chat.clients as Set<Client>) if (other.readyState === 1) other.send(line);
  });
});
await upg.listen(process.env["LISTEN"] ?? "127.0.0.1:8080", server);
await upg.ready();
console.log(JSON.stringify({ event: "ready", ...upg.status() }));

const reason = await upg.exit;
await upg.drain();
console.log(JSON.stringify({ event: "left", reason, ...upg.status() }));
