/**
 * What Deno and Bun share where libc can be called: any server takes over an inherited socket, and every listener can be
 * paused.
 *
 * @module
 */

import { type BoundAddress, formatAddress, sameBound } from "../address.ts";
import { UpgradeError } from "../errors.ts";
import type { ListenAt, Listener, ListenTarget, StartServer } from "./backend.ts";
import { closeServer, CommonBackend } from "./common.ts";
import type { Libc, SocketInfo } from "./libc/libc.ts";
import { listening, nodeServerOf, pretend } from "./node_server.ts";
import {
  boundAddress,
  type ExpectedSocket,
  findSocket,
  findTaken,
  pause,
  type Paused,
  placeholder,
  registered,
  registrations,
  resume,
  retire,
  snapshot,
  transplant,
} from "./transplant.ts";
import { publishUnixPath } from "./unix_path.ts";

/** A server that has been started, and its socket, paused. */
interface Started {
  readonly server: unknown;
  readonly paused: Paused;
  /** `TCP_DEFER_ACCEPT` as this runtime sets it; an inherited socket has that of the runtime that bound it. */
  readonly deferAccept?: number;
}

/** A backend that can call libc on Linux. */
export abstract class TransplantingBackend extends CommonBackend {
  /** The C library; absent where transplants cannot work. */
  protected abstract readonly libc: Libc | undefined;

  protected override async startNative(
    start: StartServer,
    target: ListenTarget,
    at: ListenAt,
  ): Promise<Listener> {
    const { libc } = this;
    if (libc === undefined) return await super.startNative(start, target, at);
    const { address } = target;
    const before = snapshot(libc);
    const server = await this.running(start, at, address);
    try {
      const expected: ExpectedSocket = address.kind === "unix"
        ? { type: "stream", path: at.path as string }
        : { type: "stream", port: address.port };
      const { fd, socket } = findSocket(libc, before, expected);
      // Deno's node:http does not mark its Unix listener.
      libc.setCloseOnExec(fd, true);
      const paused = await pausedSocket(libc, fd);
      if (address.kind === "unix") publishUnixPath(at.path as string, address.path);
      const bound: BoundAddress = address.kind === "unix"
        ? { kind: "unix", path: address.path }
        : boundAddress(socket);
      return pausedListener(libc, { server, paused }, bound);
    } catch (error) {
      closeServer(server);
      throw error;
    }
  }

  protected override async startInherited(
    start: StartServer,
    address: ListenTarget["address"],
    inherited: NonNullable<ListenTarget["inherited"]>,
  ): Promise<Listener> {
    const { libc } = this;
    if (libc === undefined) return await super.startInherited(start, address, inherited);
    const { fd, bound } = inherited;
    const socket = libc.socket(fd);
    if (socket === undefined || !socket.listening || !sameSocket(boundAddress(socket), bound)) {
      throw new UpgradeError(
        "ERR_ADOPT",
        `Cannot take over ${formatAddress(bound)}: descriptor ${fd} is ${
          socket === undefined ? "no socket" : `bound to ${formatAddress(boundAddress(socket))}`
        }`,
      );
    }
    const { at, remove } = placeholder(libc, socket);
    const before = snapshot(libc);
    try {
      const { server, adopted } = await this.startHeld(start, { ...at, fd }, address, inherited);
      if (adopted !== undefined) return adopted;
      try {
        await this.settled(server, address);
        const own = findTaken(libc, fd) ?? findSocket(libc, before, {
          type: "stream",
          ...(at.path === undefined ? { hostname: at.hostname as string } : { path: at.path }),
        }).fd;
        if (registrations(libc, own).length === 0) await registered(libc, own);
        const { paused, deferAccept } = transplant(libc, own, fd);
        return pausedListener(libc, { server, paused, deferAccept }, bound);
      } catch (error) {
        closeServer(server);
        throw error;
      }
    } finally {
      remove();
    }
  }

  /** Calls `start` and waits until what it returned listens. */
  protected async running(
    start: StartServer,
    at: ListenAt,
    address: ListenTarget["address"],
  ): Promise<unknown> {
    let server: unknown = this.call(start, at, address);
    // A server that is started at once is looked at at once, before the event loop can accept for it.
    if (server instanceof Promise) {
      server = await server.catch((error) => this.startFailed(error, address));
    }
    await this.settled(server, address);
    return server;
  }

  /** Waits until a server listens that does so in a later turn of the loop. */
  protected async settled(server: unknown, address: ListenTarget["address"]): Promise<void> {
    if (server === undefined || server === null) this.foreign(server, address);
    const own = nodeServerOf(server);
    if (own !== undefined && !own.listening) {
      await listening(own, () => {}).catch((error) => this.startFailed(error, address));
    }
  }
}

function sameSocket(kernel: BoundAddress, announced: BoundAddress): boolean {
  // A Unix socket keeps the temporary name under which it was bound.
  if (kernel.kind === "unix") {
    return announced.kind === "unix" && kernel.path.startsWith(`${announced.path}.`);
  }
  return sameBound(kernel, announced);
}

/** Takes the registration out at once where it is there already: before the loop can poll. */
async function pausedSocket(libc: Libc, fd: number): Promise<Paused> {
  if (registrations(libc, fd).length === 0) await registered(libc, fd);
  return pause(libc, fd);
}

/** The listener of a started server whose socket is paused. */
function pausedListener(libc: Libc, started: Started, bound: BoundAddress): Listener {
  const { server, paused, deferAccept } = started;
  const { fd } = paused;
  const kernel = libc.socket(fd)?.address;
  let state: "paused" | "open" | "retired" | "finished" = "paused";
  const own = nodeServerOf(server);
  // Deno's node:http cuts every connection after its next response once `listening` is false.
  if (own !== undefined) pretend(own, bound, () => state !== "finished", true);
  return {
    server,
    fd,
    bound,
    // deno-lint-ignore require-await -- a doubt is to be a rejection
    async open() {
      if (state !== "paused") return;
      if (deferAccept !== undefined && bound.kind === "tcp") libc.setDeferAccept(fd, deferAccept);
      resume(libc, paused);
      state = "open";
    },
    close() {
      if (state === "retired" || state === "finished") return;
      state = "retired";
      retire(libc, fd);
    },
    ...(own === undefined && kernel !== undefined ? openConnections(libc, kernel) : {}),
    finish() {
      if (state === "finished") return;
      if (state !== "retired") this.close();
      state = "finished";
      closeServer(server);
    },
  };
}

/**
 * The connections of a server that does not tell them: the sockets of this process that are bound where it listens.
 *
 * An accepted socket has the listener's port or path (`getsockname(2)`); one that this process opened itself has not.
 */
function openConnections(
  libc: Libc,
  kernel: SocketInfo["address"],
): Required<Pick<Listener, "connections" | "cut">> {
  const find = () =>
    libc.openFds().filter((fd) => {
      const socket = libc.socket(fd);
      if (socket?.type !== "stream" || socket.listening) return false;
      const { address } = socket;
      return "path" in kernel
        ? "path" in address && address.path === kernel.path
        : "port" in address && address.port === kernel.port;
    });
  return {
    connections: () => find().length,
    cut() {
      const left = find();
      for (const fd of left) libc.shutdown(fd);
      return left.length;
    },
  };
}
