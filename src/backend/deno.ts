/**
 * Deno: descriptors are found, secured and repaired through libc, because no API of Deno tells or takes them.
 *
 * @module
 */

import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { dirname } from "node:path";
import { type BoundAddress, formatAddress, sameBound } from "../address.ts";
import { collectFacts, type ProcessFacts } from "../command.ts";
import { UpgradeError } from "../errors.ts";
import type { Backend, Listener, ListenTarget, SpawnedProcess, SpawnRequest } from "./backend.ts";
import { boundByLibc } from "./bound_libc.ts";
import type { DatagramParts } from "./datagram.ts";
import { hookDenoServe } from "./deno_serve.ts";
import type { Libc } from "./libc/libc.ts";
import { loadLibc } from "./libc/load.ts";
import type { NodeServer } from "./node_server.ts";
import { notifyByLibc } from "./notify.ts";
import type { ServeHook } from "./serve_hooks.ts";
import { spawnByNode } from "./spawn.ts";
import { retire, socketAt } from "./transplant.ts";
import { TransplantingBackend, type TransplantOptions } from "./transplanting.ts";

/** Where the child finds what it is passed. */
const FIRST_PASSED_FD = 4;

/** How many numbers are tried before all are looked at. */
const NEAR = 4;

const deno = (globalThis as unknown as { Deno: DenoGlobal }).Deno;

/** What is used of Deno. */
interface DenoGlobal {
  readonly version: { readonly deno: string };
  readonly permissions: {
    querySync(wanted: { name: "read" | "write"; path: string }): { readonly state: string };
  };
}

class DenoBackend extends TransplantingBackend {
  readonly runtime = "deno";
  readonly version = deno.version.deno;
  readonly facts: ProcessFacts;
  protected readonly serveHook: ServeHook = hookDenoServe(deno);
  readonly #libc: Libc;
  #nextNumber = FIRST_PASSED_FD;
  protected readonly libc: Libc | undefined;

  constructor(libc: Libc, transplant: boolean) {
    super();
    this.#libc = libc;
    this.libc = transplant && libc.os === "linux" ? libc : undefined;
    // Deno gives /proc/self to JavaScript only under --allow-all.
    const readCommandLine = () => {
      try {
        return libc.readFile("/proc/self/cmdline");
      } catch {
        return undefined;
      }
    };
    // process.execArgv has no permission flags on Deno.
    this.facts = { ...collectFacts(readCommandLine), execArgvComplete: false };
  }

  /** Servers are started one after the other, and so are their numbers. */
  *#numbers(): Iterable<number> {
    for (let fd = this.#nextNumber; fd < this.#nextNumber + NEAR; fd++) yield fd;
    yield* this.#libc.openFds();
  }

  protected descriptor(_server: NodeServer, bound: BoundAddress): number {
    for (const fd of this.#numbers()) {
      const socket = socketAt(this.#libc, fd);
      if (socket?.type !== "stream" || !socket.listening) continue;
      const { address } = socket;
      const isIt = "path" in address
        // The kernel keeps the name under which the path was bound; a service manager binds the path itself.
        ? bound.kind === "unix" &&
          [address.path, address.path.replace(/\.\d+$/, "")].includes(bound.path)
        : sameBound({ kind: "tcp", hostname: address.hostname, port: address.port }, bound);
      if (!isIt) continue;
      // Deno does not mark the Unix listeners of node:net.
      this.#libc.setCloseOnExec(fd, true);
      this.#nextNumber = fd + 1;
      return fd;
    }
    throw new UpgradeError(
      "ERR_ADOPT",
      `Cannot find the descriptor of the server on ${formatAddress(bound)}`,
    );
  }

  override secure(fd: number, nonBlocking: boolean): boolean {
    if (!this.#libc.isOpen(fd)) return false;
    this.#libc.setCloseOnExec(fd, true);
    // Deno as a parent tells Deno as a child which descriptors it passes, and the child then holds a copy of each for
    // node:fs (seen with 2.9.6). Of a socket it would keep the port open for ever; this closes the copy alone.
    if (nonBlocking) {
      try {
        closeSync(fd);
      } catch {
        // Another runtime was the parent: there is no copy.
      }
      this.#libc.setNonBlocking(fd, true);
    }
    return true;
  }

  override boundAt(fd: number): Promise<BoundAddress | undefined> {
    return Promise.resolve(boundByLibc(this.#libc, fd));
  }

  mayWrite(path: string): boolean {
    const granted = (name: "read" | "write") =>
      deno.permissions.querySync({ name, path: dirname(path) }).state === "granted";
    // For the folder, because a file is written beside it first.
    return granted("write") && granted("read");
  }

  override isSocket(fd: number): boolean {
    return this.#libc.isOpen(fd) && this.#libc.socket(fd) !== undefined;
  }

  override mayBeChannel(fd: number): boolean {
    const socket = this.#libc.isOpen(fd) ? this.#libc.socket(fd) : undefined;
    return socket?.family === "unix" && socket.type === "stream" && !socket.listening;
  }

  peerUser(fd: number): number | undefined {
    return this.#libc.socket(fd)?.family === "unix" ? this.#libc.peerUser(fd) : undefined;
  }

  override closeFd(fd: number): void {
    super.closeFd(fd); // Deno's copy, see secure()
    if (this.#libc.isOpen(fd)) this.#libc.close(fd);
  }

  spawn(request: SpawnRequest): Promise<SpawnedProcess> {
    // Deno's spawn clears O_NONBLOCK on every descriptor that it passes; the flag belongs to the open file
    // description, so from then on accept() would block this process too. It is set again before the loop turns.
    const nonBlocking = request.fds.filter((fd) =>
      this.#libc.isOpen(fd) && this.#libc.isNonBlocking(fd)
    );
    // It also puts one descriptor after the other in place, and so overwrites one that is still to be passed when its
    // number is that of an earlier one's place; what was overwritten is missing in the child (seen with 2.9.6).
    const places = FIRST_PASSED_FD + request.fds.length;
    const moved: number[] = [];
    const fds = request.fds.map((fd) => {
      if (fd >= places || !this.#libc.isOpen(fd)) return fd;
      const copy = this.#libc.duplicate(fd, places);
      moved.push(copy);
      return copy;
    });
    const spawned = spawnByNode({ ...request, fds }, (pid, signal) => this.kill(pid, signal));
    for (const fd of moved) this.#libc.close(fd);
    for (const fd of nonBlocking) this.#libc.setNonBlocking(fd, true);
    return spawned;
  }

  protected override stop(server: NodeServer, fd: number): void {
    // Deno's node:http cuts every connection after its next response once the server is closed, without a word.
    // It looks at `listening` for that.
    if (this.libc !== undefined) retire(this.libc, fd);
    else {
      super.stop(server, fd);
      Object.defineProperty(server, "listening", { configurable: true, value: true });
    }
  }

  protected override async datagram(target: ListenTarget, parts: DatagramParts): Promise<Listener> {
    const { socket } = parts;
    if (socket === undefined) return await super.datagram(target, parts);
    // In Deno's node:dgram, unref() does not reach the receive that is pending (seen with 2.9.6). So the socket never
    // keeps the process alive, and this timer does until the socket is let go.
    socket.unref();
    const timer = setInterval(() => {}, 0x7fffffff);
    const letGo = () => clearInterval(timer);
    socket.once("close", letGo);
    const finish = () => {
      letGo();
      parts.finish(socket);
    };
    try {
      return await super.datagram(target, { ...parts, finish });
    } catch (error) {
      letGo();
      throw error;
    }
  }

  // deno-lint-ignore require-await -- what cannot be sent is to be a rejection
  override async notify(socket: string, message: string): Promise<void> {
    notifyByLibc(this.#libc, socket, message);
  }

  // Deno's hrtime counts from the start of the process.
  override monotonicUsec(): bigint {
    return this.#libc.monotonicUsec();
  }

  protected override readFile(path: string): string {
    return this.#libc.readFile(path);
  }

  protected socketOn(fd: number): Socket {
    return new Socket({ fd, readable: true, writable: true });
  }

  protected writeSync(fd: number, bytes: Uint8Array): void {
    this.#libc.writeSync(fd, bytes);
  }
}

/**
 * The backend for Deno.
 *
 * @throws {UpgradeError} `ERR_UNSUPPORTED` without the permission to call libc.
 */
// deno-lint-ignore require-await -- the refusal is to be a rejection
export async function createBackend(
  { transplant = true }: TransplantOptions = {},
): Promise<Backend> {
  const result = loadLibc();
  if ("libc" in result) return new DenoBackend(result.libc, transplant);
  throw new UpgradeError(
    "ERR_UNSUPPORTED",
    `Cannot create an upgrader on Deno: it needs calls to libc, and ${result.reason}`,
  );
}
