// Deno.serve: it takes no descriptor, so it is started by a function, on whatever `at` says.
//
//   deno run -A examples/deno_serve.ts
import process from "node:process";
import { Upgrader } from "../mod.ts"; // in your program: "changeover"

// For compilers that do not know Deno; leave it out of your program.
declare const Deno: { serve(options: object, handler: (request: Request) => Response): object };

const upg = await Upgrader.create();
await upg.listen(
  process.env["LISTEN"] ?? "127.0.0.1:8080",
  // A later generation is started at a placeholder first, which Deno would print.
  (at) =>
    Deno.serve(
      { ...at, onListen() {} },
      () => new Response(`generation ${upg.generation} on ${upg.runtime}\n`),
    ),
);
await upg.ready();
console.log(JSON.stringify({ event: "ready", ...upg.status() }));

const reason = await upg.exit;
await upg.drain();
console.log(JSON.stringify({ event: "left", reason, ...upg.status() }));
