// Elysia on Node (with `npm install srvx`), Deno or Bun: its `fetch` is all that serve() needs.
import process from "node:process";
import { Elysia } from "elysia";
import { serve } from "../src/serve/mod.ts"; // in your program: "changeover/serve"

let who = "nobody yet"; // no request comes before serve() has resolved
const app = new Elysia().get("/", () => `generation ${who}\n`);
const { upgrader, finished } = await serve({
  address: process.env["LISTEN"] ?? "127.0.0.1:8080",
  fetch: (request, { upgrader }) => {
    who = `${upgrader.generation} on ${upgrader.runtime}`;
    return app.fetch(request);
  },
});
console.log(JSON.stringify({ event: "ready", ...upgrader.status() }));

const { reason } = await finished;
console.log(JSON.stringify({ event: "left", reason, ...upgrader.status() }));
