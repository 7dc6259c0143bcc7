/**
 * Zero-downtime process upgrades for servers on Node, Deno and Bun.
 *
 * A running process starts its own replacement, hands it the listening sockets, waits until it is ready, stops
 * accepting, lets its connections finish, and leaves. Any of the three runtimes can replace any other.
 *
 * @example
 * ```ts no-eval
 * import { createServer } from "node:http";
 * import { Upgrader } from "@changeover/changeover";
 *
 * const upgrader = await Upgrader.create();
 * await upgrader.listen({ port: 8080 }, createServer((_request, response) => response.end("hello\n")));
 * await upgrader.ready();
 * await upgrader.exit; // after SIGHUP: "upgraded", after SIGTERM: "stopped"
 * await upgrader.drain();
 * ```
 *
 * @module
 */

export { Upgrader } from "./src/upgrader.ts";
export type { Descriptors } from "./src/descriptors.ts";
export {
  ERROR_CODES,
  type ErrorCode,
  UpgradeError,
  type UpgradeErrorOptions,
} from "./src/errors.ts";
export type {
  CommandOptions,
  EnvOverlay,
  Logger,
  SignalOptions,
  UpgradeMode,
  UpgradeOptions,
  UpgraderOptions,
} from "./src/options.ts";
export type { ExclusiveContext, ExclusiveResource } from "./src/exclusive.ts";
export type { HandOverOptions, ProduceState, ReceivedState, StateSource } from "./src/hand_over.ts";
export type { UpgradeRecord } from "./src/history.ts";
export type { HealthCheck, WatchedChild } from "./src/watch.ts";
export type { Address, AddressInput, BoundAddress } from "./src/address.ts";
export type { ProcessFacts } from "./src/command_line.ts";
export type {
  Backend,
  Channel,
  Clock,
  Disposer,
  ExitStatus,
  ListenAt,
  Listener,
  ListenTarget,
  RunRequest,
  Runtime,
  SpawnedProcess,
  SpawnRequest,
  StartServer,
} from "./src/backend/backend.ts";
export type {
  LeaveTaking,
  NativeConnections,
  NativeRequests,
  NativeWebSocket,
  OpenConnection,
  OpenRequests,
  SeenConnections,
} from "./src/backend/native.ts";
export type { DrainCounts, DrainReport, ServerDrainReport } from "./src/drain/drain.ts";
export type { DrainContext, FinishWork, WorkOptions } from "./src/drain/application.ts";
export type { LifecycleEvent, StateName } from "./src/machine.ts";
export type { DrainingGeneration } from "./src/protocol.ts";
export type { SocketAddress } from "./src/sockets.ts";
export type { UpgradeReport, UpgraderEventDetail, UpgraderStatus } from "./src/report.ts";
