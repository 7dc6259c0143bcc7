// What systemd does for a unit with a socket: it holds a listening socket (descriptor 3), never accepts, and starts the service
// with it. On SIGHUP it restarts the service: stop, wait for its end, start; connections wait in the socket's queue meanwhile.
import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { say } from "./handler.mjs";

const [file, ...args] = process.argv.slice(2);

function start() {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ["ignore", "pipe", "inherit", 3],
      env: { ...process.env, LISTEN_FDS: "1", LISTEN_FDNAMES: "web" },
    });
    child.once("error", reject);
    createInterface({ input: child.stdout }).once("line", () => resolve(child));
  });
}

let child = await start();
const ended = (process_) => new Promise((resolve) => process_.once("exit", resolve));
process.on("SIGHUP", async () => {
  const gone = ended(child);
  child.kill("SIGTERM");
  await gone;
  child = await start();
  say({ flipped: true });
});
process.on("SIGTERM", async () => {
  const gone = ended(child);
  child.kill("SIGKILL");
  await gone;
  process.exit(0);
});
say({ ready: true });
