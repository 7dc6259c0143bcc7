// What the Dockerfiles beside it run, on Node, Deno and Bun alike.
import { createServer } from "node:http";
import process from "node:process";
import { Upgrader } from "changeover";

const upgrader = await Upgrader.create();
const server = createServer((_request, response) => {
  response.end(`generation ${upgrader.generation} on ${upgrader.runtime}\n`);
});
await upgrader.listen(process.env.LISTEN ?? "127.0.0.1:8080", server);
await upgrader.ready();
await upgrader.exit;
await upgrader.drain();
