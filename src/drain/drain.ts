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
import { watchHttp2 } from "./http2.ts";
import { countSockets, watchCounted } from "./native.ts";
import { watchRequests } from "./native_requests.ts";
import { watchNet } from "./net.ts";

/** How a drain is to go; all times in milliseconds from its beginning. */
export interface DrainPlan {
  readonly timeoutMs: number;
  readonly spreadMs: number;
  /** Over how long WebSockets are closed. Default: `spreadMs`. */
  readonly webSocketSpreadMs?: number;
  readonly idleGraceMs: number;
  /** Called at the deadline instead of cutting what is left. */
  readonly keeps?: () => void;
}

/** What became of connections; plain numbers. */
export interface DrainCounts {
  /** Connections that were open when the drain began. */
  readonly connections: number;
  /** Requests that were answered during the drain. */
  readonly served: number;
  /** Idle connections that were closed after the grace. */
  readonly closedIdle: number;
  /** Connections whose client was told to reconnect, and that were closed afterwards. */
  readonly closedPolitely: number;
  /** Connections that were cut at the deadline. */
  readonly cut: number;
}

/** What became of the connections of one server. */
export interface ServerDrainReport extends DrainCounts {
  /** The server's socket, as `status().sockets` names it, or the name given to `drainWith`. */
  readonly identity: string;
  /** How it was drained: `"http"`, `"http2"`, `"net"`, `"native"`, or `"application"` for `drainWith`. */
  readonly kind: string;
}

/** What became of the connections of a process: the sums, and each server. */
export interface DrainReport extends DrainCounts {
  /** How long it took, in milliseconds; of a drain that runs, how long it has taken until now. */
  readonly durationMs: number;
  /** In the order of `listen` and `drainWith`. */
  readonly servers: readonly ServerDrainReport[];
}

/** The connections of one server. */
export interface Drainable {
  /** See {@linkcode ServerDrainReport.kind}. */
  readonly kind: string;
  /** How many are open. */
  connections(): number;
  /**
   * Begins to let them go.
   *
   * @param plan When what happens.
   * @param clock Time. The timers that are started on it end with {@linkcode resume}.
   * @param settled Until then a connection may turn up that was accepted before the listener was closed.
   */
  begin(plan: DrainPlan, clock: Clock, settled: Promise<void>): void;
  /** Keeps those that are left, as if nothing had begun: the process goes on serving. `begin` may come again. */
  resume(clock: Clock): void;
  /** Called after `begin` whenever a connection has ended. */
  onChange(receiver: () => void): void;
  /** Destroys what is left. */
  cut(): number;
  /** Counters since `begin`; `connections` where it takes a while to learn how many there were. */
  counts(): Omit<DrainCounts, "cut" | "connections"> & { readonly connections?: number };
}

/** A server under the name that reports call it by. */
export interface NamedDrainable {
  readonly identity: string;
  readonly drainable: Drainable;
}

/** Watches the connections of a listener's server from now on; nothing is known of a server of another kind. */
export function watch(listener: Listener): Drainable | undefined {
  if (listener.sockets !== undefined && listener.requests !== undefined) {
    return watchRequests(listener.sockets, listener.requests);
  }
  if (listener.sockets !== undefined) return watchCounted(countSockets(listener.sockets));
  if (listener.connections !== undefined && listener.cut !== undefined) {
    const connections = listener.connections.bind(listener);
    const count = () => Promise.resolve(connections());
    return watchCounted({ connections, count, cut: listener.cut.bind(listener) });
  }
  const server = listener.server as { on?: unknown } | null | undefined;
  if (typeof server?.on !== "function") return undefined;
  // Only node:http2 has this method; node:http and node:https have that property, node:net and node:tls do not.
  if (typeof (server as { updateSettings?: unknown }).updateSettings === "function") {
    return watchHttp2(server as never);
  }
  return "keepAliveTimeout" in server ? watchHttp(server as never) : watchNet(server as never);
}

/** A drain that runs; `cutNow` ends it. */
export interface RunningDrain {
  readonly report: Promise<DrainReport>;
  /** What has become of the connections until now. */
  progress(): DrainReport;
  cutNow(): void;
}

const COUNTS = ["connections", "served", "closedIdle", "closedPolitely", "cut"] as const;

/**
 * Drains all servers of a process.
 *
 * @param servers What is to be drained; the phases of all begin now.
 * @param plan When what happens.
 * @param clock Time.
 * @param settled Until then a connection may turn up that was accepted before the listener was closed.
 */
export function runDrain(
  servers: readonly NamedDrainable[],
  plan: DrainPlan,
  clock: Clock,
  settled: Promise<void> = Promise.resolve(),
): RunningDrain {
  const began = clock.now();
  const all = servers.map(({ identity, drainable }) => ({
    identity,
    drainable,
    connections: drainable.counts().connections ?? drainable.connections(),
    cut: 0,
  }));
  let isCut = false;
  let finish: (report: DrainReport) => void;
  const report = new Promise<DrainReport>((resolve) => finish = resolve);
  let isSettled = false;
  let done = false;
  let cancelDeadline = () => {};
  const isOpen = () => all.some(({ drainable }) => drainable.connections() > 0);
  const progress = (): DrainReport => {
    const reports = all.map(({ identity, drainable, connections, cut }) => {
      const { kind } = drainable;
      return { identity, kind, connections, ...drainable.counts(), cut };
    });
    const sums = COUNTS.map((name) => [name, reports.reduce((sum, one) => sum + one[name], 0)]);
    return {
      ...Object.fromEntries(sums) as DrainCounts,
      durationMs: clock.now() - began,
      servers: reports,
    };
  };
  const check = () => {
    if (done || (!isCut && (!isSettled || isOpen()))) return;
    done = true;
    cancelDeadline();
    finish(progress());
  };
  const cutNow = () => {
    if (done) return;
    isCut = true;
    for (const one of all) one.cut += one.drainable.cut();
    check();
  };
  for (const { drainable } of all) {
    drainable.onChange(check);
    drainable.begin(plan, clock, settled);
  }
  // With nothing to wait for it is over without a timer.
  let hasDeadline = false;
  const wait = () => {
    if (hasDeadline || done || !isOpen()) return;
    hasDeadline = true;
    cancelDeadline = clock.after(plan.timeoutMs, plan.keeps ?? cutNow);
  };
  wait();
  settled.then(() => {
    isSettled = true;
    wait();
    check();
  });
  return { report, progress, cutNow };
}
