// Hono on Node (with `npm install srvx`), Deno or Bun: its `fetch` is all that serve() needs.
import process from "node:process";
import { Hono } from "hono";
import { serve, type ServeInfo } from "../src/serve/mod.ts"; // in your program: "changeover/serve"

// What serve() knows of a request becomes Hono's `env`.
const app = new Hono<{ Bindings: ServeInfo }>();
app.get(
  "/",
  ({ env: { upgrader }, text }) =>
    text(`generation ${upgrader.generation} on ${upgrader.runtime}\n`),
);

const { upgrader, finished } = await serve({
  address: process.env["LISTEN"] ?? "127.0.0.1:8080",
  fetch: (request, info) => app.fetch(request, info),
});
console.log(JSON.stringify({ event: "ready", ...upgrader.status() }));

const { reason } = await finished;
console.log(JSON.stringify({ event: "left", reason, ...upgrader.status() }));
