/**
 * What can be done without any tool: the official graceful stop of each runtime, with a second process on the same
 * port (SO_REUSEPORT), or behind a socket that a service manager holds.
 *
 * @module
 */

import { createServer } from "node:net";
import process from "node:process";
import { discover, type TestRuntime } from "../../scripts/runtimes.mjs";
import { endSessions, signal } from "../measure/processes.ts";
import { commandOf } from "./changeover.ts";
import { type Peer, type Service, STOP_MS } from "./peer.ts";
import { Program, serverPath } from "./program.ts";

const OFFICIAL = {
  node: {
    practice: "start the new process, then `server.close()` in the old one",
    source: "https://nodejs.org/api/http.html#serverclosecallback",
  },
  deno: {
    practice: "start the new process, then `server.shutdown()` in the old one",
    source: "https://docs.deno.com/api/deno/~/Deno.HttpServer",
  },
  bun: {
    practice: "start the new process, then `await server.stop()` in the old one",
    source: "https://bun.com/docs/runtime/http/server",
  },
};

/** The newest Node, Deno and Bun with SO_REUSEPORT, and Node with socket activation. */
export function gracefulPeers(): Peer[] {
  const { present } = discover();
  const node = newestNode(present);
  const peers: Peer[] = [];
  for (const runtime of [node, ...present.filter(({ runtime }) => runtime !== "node")]) {
    if (runtime === undefined) continue;
    const { practice, source } = OFFICIAL[runtime.runtime];
    const titles = { node: "node:http", deno: "Deno.serve", bun: "Bun.serve" };
    peers.push({
      name: `reuse-port-${runtime.runtime}`,
      label: `SO_REUSEPORT, official stop, ${titles[runtime.runtime]}`,
      ours: false,
      practice: `${practice}; cut after ${STOP_MS} ms`,
      source,
      webSockets: true,
      start: () => startReusePort(runtime),
    });
  }
  if (node !== undefined) {
    peers.push({
      name: "socket-activation",
      label: "systemd-style socket, restart, node:http",
      ours: false,
      practice: "SIGTERM, `server.close()`, cut after " +
        `${STOP_MS} ms, start again with the same socket (descriptor 3)`,
      source: "https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html",
      webSockets: true,
      start: () => startHolder(node),
    });
  }
  return peers;
}

/** The newest Node among them. */
export function newestNode(present: readonly TestRuntime[]): TestRuntime | undefined {
  return present.filter(({ runtime }) => runtime === "node").at(-1);
}

function kindOf({ runtime }: TestRuntime): string {
  return runtime === "node" ? "node" : "native";
}

async function startReusePort(runtime: TestRuntime): Promise<Service> {
  const start = async (port: number): Promise<{ program: Program; port: number }> => {
    const program = new Program(commandOf(runtime, "graceful.mjs"), {
      env: {
        KIND: kindOf(runtime),
        PORT: String(port),
        STOP_MS: String(STOP_MS),
        WEB_SOCKETS: "1",
      },
    });
    const ready = await program.heard("ready", ({ ready }) => ready === true);
    return { program, port: ready["port"] as number };
  };
  const sessions = new Set<number>();
  const first = await start(0);
  let current = first.program;
  sessions.add(current.pid);
  return {
    port: first.port,
    sessions,
    async flip() {
      const next = await start(first.port);
      sessions.add(next.program.pid);
      signal(current.pid, "SIGTERM");
      current = next.program;
    },
    stop: () => endSessions(sessions),
  };
}

async function startHolder(runtime: TestRuntime): Promise<Service> {
  // Bound here and listened to once: the holder gets the descriptor and never accepts.
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  const program = new Program(
    [process.execPath, serverPath("holder.mjs"), ...commandOf(runtime, "graceful.mjs")],
    { fd, env: { KIND: kindOf(runtime), STOP_MS: String(STOP_MS), WEB_SOCKETS: "1" } },
  );
  await new Promise((resolve) => server.close(resolve));
  await program.heard("ready", ({ ready }) => ready === true);
  return {
    port,
    sessions: program.sessions,
    async flip() {
      const from = program.said.length;
      signal(program.pid, "SIGHUP");
      await program.heard("flipped", ({ flipped }) => flipped === true, from);
    },
    stop: () => program.end(),
  };
}
