// Runs a TypeScript program (the demo, the proof) with the newest Node that `npm ci` has brought:
//
//   node scripts/newest_node.mjs demo/main.ts [options]
//
// Plain JavaScript, because the Node of this machine may be 20, which cannot read TypeScript.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { discover, root } from "./runtimes.mjs";

const OLDEST = 24;

const [program = "", ...args] = process.argv.slice(2);
const executable = newestNode();
if (process.platform === "win32") {
  explain("This sends signals and passes sockets to other processes: it needs Linux or macOS.");
} else if (executable === undefined) {
  const whys = discover().missing.map(({ name, why }) => `  ${name}: ${why}`);
  explain(
    `This needs Node ${OLDEST} or newer, from "npm ci" or as "node":\n${whys.join("\n")}`,
  );
} else {
  start(executable);
}

function newestNode() {
  const found = discover().present.filter(({ runtime }) => runtime === "node")
    .map(({ name, executable }) => ({ major: Number(name.slice("node".length)), executable }));
  const [major] = process.versions.node.split(".");
  found.unshift({ major: Number(major), executable: process.execPath });
  found.sort((a, b) => b.major - a.major);
  return found.find(({ major }) => major >= OLDEST)?.executable;
}

function start(executable) {
  const child = spawn(executable, [join(root, program), ...args], {
    stdio: "inherit",
  });
  // The program cleans up and then ends; this process waits for it, or npm would print over it.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => child.kill(signal));
  }
  child.once("error", (error) => explain(error.message));
  child.once("exit", (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
    // What is still open belongs to the terminal.
    process.exit();
  });
}

function explain(text) {
  console.error(text);
  process.exitCode = 1;
}
