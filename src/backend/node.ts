/**
 * Node: everything is there, except a way to pause a listener.
 *
 * Node marks the descriptors that it inherits close-on-exec when it starts (`uv_disable_stdio_inheritance`), and libuv
 * sets `O_NONBLOCK` on each that it opens, so nothing has to be secured.
 *
 * @module
 */

import { writeSync } from "node:fs";
import { Socket } from "node:net";
import process from "node:process";
import type { BoundAddress } from "../address.ts";
import { collectFacts, type ProcessFacts } from "../command.ts";
import type { Backend, Listener, ListenTarget, SpawnedProcess, SpawnRequest } from "./backend.ts";
import { CommonBackend, readCommandLine } from "./common.ts";
import { copyHandle, type SocketHandle } from "./copied_handle.ts";
import type { DatagramParts } from "./datagram.ts";
import { type Aside, handleDescriptor, listenQuietly, type NodeServer } from "./node_server.ts";
import { boundInProc } from "./proc_net.ts";
import type { Libc } from "./libc/libc.ts";
import { notifyByLibc } from "./notify.ts";
import { spawnByNode } from "./spawn.ts";

/**
 * Closes the handle of a server and leaves it a copy for which the event loop does not wait: so the server still listens
 * as far as it knows, tells its address, and does not say that it is closed when its last connection ends.
 */
async function setAside(server: NodeServer): Promise<Aside> {
  const own = server as NodeServer & { _handle: SocketHandle | null };
  const handle = own._handle;
  if (handle === null) throw new Error("Cannot pause the server: it was closed");
  const copy = await copyHandle(handle);
  if (own._handle !== handle) {
    copy.close();
    throw new Error("Cannot pause the server: it was closed");
  }
  own._handle = copy;
  handle.close();
  // A socket for which nobody waits keeps no process alive.
  const timer = setInterval(() => {}, 0x7fffffff);
  return {
    fd: copy.fd,
    async resume() {
      clearInterval(timer);
      if (own._handle !== copy) throw new Error("Cannot resume the server: it was closed");
      own._handle = null;
      // By its number where the handle is a pipe, which listen() does not take. The server's new handle then closes it;
      // the copy must not.
      await listenQuietly(server, () => server.listen(copy as never));
      return handleDescriptor(server);
    },
    letGo: () => clearInterval(timer),
  };
}

class NodeBackend extends CommonBackend {
  readonly runtime = "node";
  readonly version = process.versions.node;
  readonly facts: ProcessFacts = collectFacts(readCommandLine);

  spawn(request: SpawnRequest): Promise<SpawnedProcess> {
    return spawnByNode(request, (pid, signal) => this.kill(pid, signal));
  }

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

  protected async datagram(target: ListenTarget, parts: DatagramParts): Promise<Listener> {
    // Only now: it loads node:dgram, which most servers do without.
    const { nodeDatagram } = await import("./datagram_node.ts");
    return await nodeDatagram(target, parts);
  }

  protected setAside(server: NodeServer): Promise<Aside> {
    return setAside(server);
  }

  /** Loaded for a service manager only: to use it costs a warning of Node's. */
  #libc: Promise<Libc | undefined> | undefined;
  #loaded: Libc | undefined;

  override async notify(socket: string, message: string): Promise<void> {
    // Once it is loaded nothing is awaited before the message is on its way.
    if (this.#loaded === undefined) {
      this.#libc ??= import("./libc/load.ts").then(({ loadLibc }) => {
        const result = loadLibc();
        return "libc" in result ? result.libc : undefined;
      });
      this.#loaded = await this.#libc;
    }
    if (this.#loaded === undefined) return await super.notify(socket, message);
    notifyByLibc(this.#loaded, socket, message);
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
