/**
 * Node: everything is there, except a way to pause a listener.
 *
 * Node marks the descriptors that it inherits close-on-exec when it starts (`uv_disable_stdio_inheritance`), and libuv
 * sets `O_NONBLOCK` on each that it opens, so nothing has to be secured.
 *
 * @module
 */

import { readFileSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import process from "node:process";
import type { BoundAddress } from "../address.ts";
import { collectFacts, type ProcessFacts } from "../command.ts";
import { UpgradeError } from "../errors.ts";
import type { Backend, Listener, ListenTarget } from "./backend.ts";
import { CommonBackend } from "./common.ts";
import type { DatagramParts } from "./datagram.ts";
import { nodeDatagram } from "./datagram_node.ts";
import { boundInProc } from "./proc_net.ts";
import type { NodeServer } from "./node_server.ts";

/** `/proc/self/cmdline`, where the system has it (`proc(5)`). */
export function readCommandLine(): string | undefined {
  try {
    return readFileSync("/proc/self/cmdline", "utf8");
  } catch {
    return undefined;
  }
}

/** The descriptor that the handle of a `node:net` server tells. */
export function handleDescriptor(server: NodeServer): number {
  const fd = (server as { _handle?: { fd?: number } })._handle?.fd;
  if (typeof fd === "number" && fd >= 0) return fd;
  throw new UpgradeError(
    "ERR_ADOPT",
    "Cannot find the descriptor of the server: it has no handle of its own",
  );
}

class NodeBackend extends CommonBackend {
  readonly runtime = "node";
  readonly version = process.versions.node;
  readonly facts: ProcessFacts = collectFacts(readCommandLine);

  protected descriptor(server: NodeServer): number {
    return handleDescriptor(server);
  }

  /** The tables know no socket of another network namespace (a unit with `PrivateNetwork=`); the C library does. */
  override async boundAt(fd: number): Promise<BoundAddress | undefined> {
    const found = boundInProc(fd);
    if (found !== undefined) return found === "other" ? undefined : found;
    const result = (await import("./libc/load.ts")).loadLibc();
    if (!("libc" in result)) return undefined;
    return (await import("./bound_libc.ts")).boundByLibc(result.libc, fd);
  }

  protected datagram(target: ListenTarget, parts: DatagramParts): Promise<Listener> {
    return nodeDatagram(target, parts);
  }

  protected socketOn(fd: number): Socket {
    return new Socket({ fd, readable: true, writable: true });
  }

  protected writeSync(fd: number, bytes: Uint8Array): void {
    writeSync(fd, bytes);
  }
}

/** The backend for Node. */
export function createBackend(): Promise<Backend> {
  return Promise.resolve(new NodeBackend());
}
