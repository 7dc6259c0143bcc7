// `node:cluster` with a rolling restart: on SIGHUP the primary starts a worker, waits until it listens, and only then lets the
// old one go (`worker.disconnect()`, which closes its server), and ends it after STOP_MS.
import cluster from "node:cluster";
import process from "node:process";
import { nodeServer, say } from "./handler.mjs";

if (cluster.isPrimary) {
  const start = () =>
    new Promise((resolve) => {
      const worker = cluster.fork();
      worker.once("listening", () => resolve(worker));
    });
  let current = await start();
  process.on("SIGHUP", async () => {
    const old = current;
    current = await start();
    old.disconnect();
    const timer = setTimeout(() => old.kill("SIGKILL"), Number(process.env.STOP_MS));
    old.once("exit", () => clearTimeout(timer));
    say({ flipped: true });
  });
  say({ ready: true, port: Number(process.env.PORT) });
} else {
  const server = await nodeServer();
  server.listen(Number(process.env.PORT), "127.0.0.1");
}
