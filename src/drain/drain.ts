/**
 * Lets the connections of a server finish: what every kind of server has to offer, and how the phases follow.
 *
 * Phases: nothing is accepted any more and nothing is cut; clients are told to reconnect, not all at the same moment;
 * idle connections stay for a grace and are then closed; at the deadline the rest is cut and counted.
 *
 * @module
 */

import type { Clock, Listener } from "../backend/backend.ts";
import { watchHttp } from "./http.ts";
import { watchCounted } from "./native.ts";
import { watchNet } from "./net.ts";

/** How a drain is to go; all times in milliseconds from its beginning. */
export interface DrainPlan {
  readonly timeoutMs: number;
  readonly spreadMs: number;
  readonly idleGraceMs: number;
}

/** What became of the connections. */
export interface DrainReport {
  /** Connections that were open when the drain began. */
  readonly connections: number;
  /** Requests that were answered during the drain. */
  readonly served: number;
  /** Idle connections that were closed after the grace. */
  readonly closedIdle: number;
  /** Connections that were cut at the deadline. */
  readonly cut: number;
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
}

/** The connections of one server. */
export interface Drainable {
  /** How many are open. */
  connections(): number;
  /** Begins to let them go. */
  begin(plan: DrainPlan, clock: Clock): void;
  /** Called after `begin` whenever a connection has ended. */
  onChange(receiver: () => void): void;
  /** Destroys what is left. */
  cut(): number;
  /** Counters since `begin`. */
  counts(): { readonly served: number; readonly closedIdle: number };
}

/** Watches the connections of a listener's server from now on; nothing is known of a server of another kind. */
export function watch(listener: Listener): Drainable | undefined {
  if (listener.connections !== undefined && listener.cut !== undefined) {
    return watchCounted({
      connections: listener.connections.bind(listener),
      cut: listener.cut.bind(listener),
    });
  }
  const server = listener.server as { on?: unknown } | null | undefined;
  if (typeof server?.on !== "function") return undefined;
  // node:http and node:https have this property, node:net, node:tls and node:http2 do not.
  return "keepAliveTimeout" in server ? watchHttp(server as never) : watchNet(server as never);
}

/** A drain that runs; `cutNow` ends it. */
export interface RunningDrain {
  readonly report: Promise<DrainReport>;
  cutNow(): void;
}

/**
 * Drains all servers of a process.
 *
 * @param servers What is to be drained; the phases of all begin now.
 * @param plan When what happens.
 * @param clock Time.
 */
export function runDrain(
  servers: readonly Drainable[],
  plan: DrainPlan,
  clock: Clock,
): RunningDrain {
  const began = clock.now();
  const open = () => servers.reduce((sum, server) => sum + server.connections(), 0);
  const connections = open();
  let cut = 0;
  let isCut = false;
  let finish: (report: DrainReport) => void;
  const report = new Promise<DrainReport>((resolve) => finish = resolve);
  let done = false;
  const check = () => {
    if (done || (!isCut && open() > 0)) return;
    done = true;
    cancelDeadline();
    const counts = servers.map((server) => server.counts());
    finish({
      connections,
      served: counts.reduce((sum, { served }) => sum + served, 0),
      closedIdle: counts.reduce((sum, { closedIdle }) => sum + closedIdle, 0),
      cut,
      durationMs: clock.now() - began,
    });
  };
  const cutNow = () => {
    if (done) return;
    isCut = true;
    for (const server of servers) cut += server.cut();
    check();
  };
  const cancelDeadline = clock.after(plan.timeoutMs, cutNow);
  for (const server of servers) {
    server.onChange(check);
    server.begin(plan, clock);
  }
  check();
  return { report, cutNow };
}
