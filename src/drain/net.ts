/**
 * Connections of `node:net` servers: the application speaks its own protocol on them, so they are waited for.
 *
 * @module
 */

import type { Drainable } from "./drain.ts";

/** What is used of a connection. */
export interface Connection {
  readonly destroyed: boolean;
  readonly bytesRead?: number;
  write?: unknown;
  cork?(): void;
  uncork?(): void;
  once(event: "close", listener: () => void): unknown;
  end(): unknown;
  destroy(): unknown;
}

/** What is used of a server. */
export interface ConnectionSource {
  on(event: "connection", listener: (connection: Connection) => void): unknown;
}

/** Waits for the connections of a server until the deadline. */
export function watchNet(server: ConnectionSource): Drainable {
  const connections = new Set<Connection>();
  let changed: (() => void) | undefined;
  server.on("connection", (connection) => {
    connections.add(connection);
    connection.once("close", () => {
      connections.delete(connection);
      changed?.();
    });
  });
  return {
    kind: "net",
    connections: () => connections.size,
    begin() {},
    resume() {},
    onChange(receiver) {
      changed = receiver;
    },
    cut() {
      const left = [...connections];
      connections.clear();
      for (const connection of left) connection.destroy();
      return left.length;
    },
    counts: () => ({ served: 0, closedIdle: 0, closedPolitely: 0 }),
  };
}
