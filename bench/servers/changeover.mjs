// The server of the benchmark with changeover, as an npm user has it: the built package. `KIND=native` is the runtime's own
// server, else it is `node:http`. Says how far it is, with the time of day and its CPU time at each step.
import process from "node:process";
import { library, nodeServer, now, say, serveBun, serveDeno } from "./handler.mjs";

const steps = [];
// `cpuMs` is user and system time: what other programs do changes it least.
const step = (name) => {
  const { user, system } = process.cpuUsage();
  steps.push({ name, at: now(), cpuMs: (user + system) / 1000 });
};

step("begun");
const { Upgrader } = await library();
step("imported");
const upgrader = await Upgrader.create({
  logger: false,
  maxDraining: 8,
  idleGraceMs: Number(process.env.IDLE_GRACE_MS ?? 5000),
});
step("created");
// What an application does before it can serve: opens databases, reads configuration.
const initMs = Number(process.env.INIT_MS ?? 0);
if (initMs > 0) await new Promise((resolve) => setTimeout(resolve, initMs));
const kind = process.env.KIND === "native" ? upgrader.runtime : "node:http";
const server = kind === "bun" || kind === "deno" ? undefined : await nodeServer();
step("initialised");
const address = { port: 0, hostname: "127.0.0.1", name: "main" };
if (kind === "bun") await upgrader.listen(address, (at) => serveBun(at));
else if (kind === "deno") await upgrader.listen(address, (at) => serveDeno(at));
else await upgrader.listen(address, server);
step("listening");

for (const event of ["upgrading", "spawned", "child-ready", "committing", "upgraded"]) {
  upgrader.addEventListener(event, ({ detail }) => {
    say({ event, generation: upgrader.generation, report: detail.report });
  });
}
upgrader.addEventListener("upgrade-failed", ({ detail }) => {
  say({ failed: detail.error?.message ?? "unknown" });
});
await upgrader.ready();
step("owner");
const [bound] = upgrader.addresses;
say({ ready: true, generation: upgrader.generation, port: bound.port, steps });

// The longest time in which the event loop did nothing else, for the part that looks at ten thousand idle connections.
let longestStopMs = 0;
let watch;
if (process.env.WATCH_LOOP === "1") {
  let last = performance.now();
  watch = setInterval(() => {
    const at = performance.now();
    longestStopMs = Math.max(longestStopMs, at - last - 5);
    last = at;
  }, 5);
  // The same while it only serves, to compare with.
  process.on("SIGUSR2", () => {
    say({ servingStopMs: longestStopMs });
    longestStopMs = 0;
  });
}
const reason = await upgrader.exit;
say({ leaving: reason, generation: upgrader.generation });
longestStopMs = 0;
const drain = await upgrader.drain();
clearInterval(watch);
say({ drained: drain, generation: upgrader.generation, longestStopMs });
