/**
 * Node: everything is there, except a way to pause a listener.
 *
 * Node marks the descriptors that it inherits close-on-exec when it starts (`uv_disable_stdio_inheritance`), and libuv
 * sets `O_NONBLOCK` on each that it opens, so nothing has to be secured.
 *
 * @module
 */

import { readFileSync, writeSync } from "node:fs";
import { Server, Socket } from "node:net";
import process from "node:process";
import { collectFacts, type ProcessFacts } from "../command.ts";
import { UpgradeError } from "../errors.ts";
import type { Backend, Listener, ListenTarget, StartServer } from "./backend.ts";
import { CommonBackend } from "./common.ts";
import { adoptNodeServer, type NodeServer, nodeServerOf } from "./node_server.ts";

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

  /**
   * Node cannot pause a listener, so the server's own `listen({ fd })` is held back until `open()`, by standing in for
   * `net.Server.prototype.listen` while `start` runs and for this descriptor only.
   */
  protected override async startInherited(
    start: StartServer,
    address: ListenTarget["address"],
    inherited: NonNullable<ListenTarget["inherited"]>,
  ): Promise<Listener> {
    const prototype = Server.prototype as unknown as NodeServer;
    const original = prototype.listen;
    let adopted: Listener | undefined;
    const standIn = (server: NodeServer, args: readonly unknown[]): unknown => {
      const options = args[0] as { readonly fd?: unknown } | null | undefined;
      if (options?.fd !== inherited.fd || adopted !== undefined) {
        return original.apply(server, args as never);
      }
      adopted = adoptNodeServer(server, inherited, this.hooks);
      const called = args.findLast((argument) => typeof argument === "function");
      if (called !== undefined) server.once("listening", called as () => void);
      return server;
    };
    prototype.listen = function (this: NodeServer, ...args: unknown[]) {
      return standIn(this, args);
    };
    let server: unknown;
    try {
      server = await this.call(
        start,
        { ...this.placeholder(inherited.bound), fd: inherited.fd },
        address,
      );
    } catch (error) {
      this.startFailed(error, address);
    } finally {
      prototype.listen = original;
    }
    if (adopted !== undefined) {
      return { ...adopted, server: nodeServerOf(server) ?? adopted.server };
    }
    return await super.adopted(server, address, inherited);
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
