/**
 * PM2's cluster mode and its `reload`. Installed for the occasion into a temporary folder.
 *
 * @module
 */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { discover } from "../../scripts/runtimes.mjs";
import { owesSession, temporaryFolder } from "../measure/cleanup.ts";
import { endSessions } from "../measure/processes.ts";
import { newestNode } from "./graceful.ts";
import { type Peer, type Service, STOP_MS } from "./peer.ts";
import { freePort } from "./port.ts";
import { environment, serverPath } from "./program.ts";

/** The version that is measured. */
export const PM2_VERSION = "7.0.4";

const INSTALL_LIMIT_MS = 120_000;
const COMMAND_LIMIT_MS = 30_000;

let installed: string | undefined;

/** One instance, as everywhere in this comparison. */
export function pm2Peer(): Peer {
  const node = newestNode(discover().present);
  return {
    name: "pm2",
    label: "PM2 cluster reload",
    ours: false,
    practice:
      `\`pm2 reload\` with --wait-ready, \`server.close()\` on SIGINT, killed after ${STOP_MS} ms`,
    source: "https://pm2.keymetrics.io/docs/usage/signals-clean-restart/",
    webSockets: true,
    missing: () => node === undefined ? "no Node" : install(),
    start: () => start(node!.executable),
  };
}

/** Installs PM2 once per part. @returns Why that did not work. */
function install(): string | undefined {
  if (installed !== undefined) return undefined;
  const folder = temporaryFolder();
  const { status, error } = spawnSync(
    "npm",
    ["install", "--prefix", folder, "--no-audit", "--no-fund", `pm2@${PM2_VERSION}`],
    { stdio: "ignore", timeout: INSTALL_LIMIT_MS },
  );
  const script = join(folder, "node_modules/pm2/bin/pm2");
  if (status !== 0 || !existsSync(script)) {
    return `PM2 cannot be installed (${error?.message ?? `npm ended with ${status}`})`;
  }
  installed = script;
  return undefined;
}

async function start(node: string): Promise<Service> {
  const home = temporaryFolder();
  const port = await freePort();
  const env = environment({
    PM2_HOME: home,
    PATH: `${dirname(node)}:${process.env["PATH"]}`,
    PORT: String(port),
    WEB_SOCKETS: "1",
    PM2_DISCRETE_MODE: "true",
  });
  const sessions = new Set<number>();
  const pm2 = (...args: string[]) => run(node, [installed!, ...args], env);
  const owes = () => {
    const file = join(home, "pm2.pid");
    if (!existsSync(file)) return;
    const pid = Number.parseInt(readFileSync(file, "utf8"), 10);
    sessions.add(pid);
    owesSession(pid);
  };
  await pm2(
    ...["start", serverPath("pm2.mjs"), "--name", "bench", "-i", "1", "--wait-ready"],
    ...["--listen-timeout", "10000", "--kill-timeout", String(STOP_MS)],
  ).finally(owes);
  return {
    port,
    sessions,
    flip: () => pm2("reload", "bench"),
    async stop() {
      await pm2("kill").catch(() => {});
      await endSessions(sessions);
      await sleep(50);
    },
  };
}

function run(node: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(node, args, {
      env,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: COMMAND_LIMIT_MS,
    });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => text = (text + chunk).slice(-1000));
    }
    child.once("error", reject);
    // "exit" and not "close": the daemon holds the pipes.
    child.once("exit", (code) => {
      child.stdout.destroy();
      child.stderr.destroy();
      if (code === 0) resolve();
      else reject(new Error(`pm2 ${args[1]} ended with ${code}: ${text}`));
    });
  });
}
