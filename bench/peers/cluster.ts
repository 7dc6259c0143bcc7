/**
 * `node:cluster` with a rolling restart.
 *
 * @module
 */

import { discover } from "../../scripts/runtimes.mjs";
import { signal } from "../measure/processes.ts";
import { commandOf } from "./changeover.ts";
import { newestNode } from "./graceful.ts";
import { type Peer, type Service, STOP_MS } from "./peer.ts";
import { freePort } from "./port.ts";
import { Program } from "./program.ts";

/** One worker, as everywhere in this comparison. */
export function clusterPeer(): Peer {
  const node = newestNode(discover().present);
  return {
    name: "node-cluster",
    label: "node:cluster, rolling restart",
    ours: false,
    practice: "fork a worker, wait for `listening`, then `worker.disconnect()` on the old one; " +
      `killed after ${STOP_MS} ms`,
    source: "https://nodejs.org/api/cluster.html#workerdisconnect",
    webSockets: true,
    missing: () => node === undefined ? "no Node" : undefined,
    async start(): Promise<Service> {
      const program = new Program(commandOf(node!, "cluster.mjs"), {
        env: { PORT: String(await freePort()), STOP_MS: String(STOP_MS), WEB_SOCKETS: "1" },
      });
      const ready = await program.heard("ready", ({ ready }) => ready === true);
      return {
        port: ready["port"] as number,
        sessions: program.sessions,
        async flip() {
          const from = program.said.length;
          signal(program.pid, "SIGHUP");
          await program.heard("flipped", ({ flipped }) => flipped === true, from);
        },
        stop: () => program.end(),
      };
    },
  };
}
