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
import { openConnections } from "./connections.ts";
import { type DatagramParts, refusal } from "./datagram.ts";
import { libcDatagram } from "./datagram_libc.ts";
import type { Libc } from "./libc/libc.ts";
import type { NativeRequests } from "./native.ts";
import {
  type Aside,
  boundOf,
  isNodeServer,
  listening,
  type NodeServer,
  nodeServerOf,
  pretend,
} from "./node_server.ts";
import type { ServeHook } from "./serve_hooks.ts";
import { cannotPause, cannotPlace, stayingListener } from "./staying.ts";
import {
  boundAddress,
  type ExpectedSocket,
  findNear,
  findSocket,
  findTaken,
  pause,
  type Paused,
  placeholder,
  registered,
  registrations,
  resume,
  retire,
  setAside,
  snapshot,
  type SocketAside,
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

/** How a backend is made. */
export interface TransplantOptions {
  /** Whether sockets are placed into running servers; `false`, for tests, is how it is on macOS. @default {true} */
  readonly transplant?: boolean;
}

/** A backend that can call libc on Linux. */
export abstract class TransplantingBackend extends CommonBackend {
  /** The C library; absent where transplants cannot work. */
  protected abstract readonly libc: Libc | undefined;

  /** Catches the servers that this runtime makes itself. */
  protected abstract readonly serveHook: ServeHook;

  /** The requests of such a server that was not caught, as far as it tells them. */
  protected uncaught(_server: unknown): NativeRequests | undefined {
    return undefined;
  }

  override async start(start: StartServer, target: ListenTarget): Promise<Listener> {
    this.serveHook.open();
    try {
      const listener = await super.start(start, target);
      if (listener.sockets === undefined) return listener;
      const requests = this.serveHook.find(listener.server) ?? this.uncaught(listener.server);
      // Not a copy: its descriptor changes.
      return requests === undefined ? listener : Object.assign(listener, { requests });
    } finally {
      this.serveHook.close();
    }
  }

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
        : { type: "stream", port: address.port, told: toldPort(server) };
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
      const { server, adopted, taken } = await this.startHeld(
        start,
        { ...at, fd },
        address,
        inherited,
      );
      if (adopted !== undefined) return adopted;
      try {
        await this.untilListening(server, address);
        if (taken !== undefined) return pausedListener(libc, { server, ...taken }, bound);
        const expected: ExpectedSocket = {
          type: "stream",
          ...(at.path === undefined
            ? { hostname: at.hostname as string, told: toldPort(server) }
            : { path: at.path }),
        };
        // In this order because the first is cheap; a server that took the socket opened none.
        const own = findNear(libc, before, expected)?.fd ?? findTaken(libc, fd) ??
          findSocket(libc, before, expected).fd;
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

  /** A `node:net` server is paused as any other: by its socket. */
  // deno-lint-ignore require-await -- a doubt is to be a rejection
  protected override async setAside(_server: NodeServer, fd: number): Promise<Aside> {
    const { libc } = this;
    if (libc === undefined) throw cannotPause(this.runtime);
    const aside = setAside(libc, fd);
    return {
      fd: aside.fd,
      // deno-lint-ignore require-await -- see above
      async resume() {
        aside.putBack();
        return fd;
      },
      letGo: () => aside.letGo(),
    };
  }

  protected override datagram(target: ListenTarget, parts: DatagramParts): Promise<Listener> {
    const { libc } = this;
    if (libc !== undefined) return libcDatagram(libc, target, parts);
    return Promise.reject(refusal(target.address, "on Deno and Bun that works on Linux only"));
  }

  protected override staying(
    server: unknown,
    address: ListenTarget["address"],
  ): Listener | undefined {
    return stayingListener(server, address, this.runtime, closeServer);
  }

  protected override async adopted(
    server: unknown,
    address: ListenTarget["address"],
    inherited: NonNullable<ListenTarget["inherited"]>,
  ): Promise<Listener> {
    try {
      return await super.adopted(server, address, inherited);
    } catch (error) {
      throw server && UpgradeError.is(error) ? cannotPlace(inherited.bound, this.runtime) : error;
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
    await this.untilListening(server, address);
    return server;
  }

  /** Waits until a server listens that does so in a later turn of the loop. */
  protected async untilListening(server: unknown, address: ListenTarget["address"]): Promise<void> {
    if (server === undefined || server === null) this.foreign(server, address);
    const own = nodeServerOf(server);
    if (own !== undefined && !own.listening) {
      await listening(own, () => {}).catch((error) => this.startFailed(error, address));
    }
  }
}

/** The port that a started server tells, or that the server of a framework's instance tells. */
function toldPort(server: unknown): number | undefined {
  const { server: inner } = server as { server?: unknown };
  for (const each of [server, inner]) {
    if (isNodeServer(each)) {
      const bound = boundOf(each);
      if (bound?.kind === "tcp") return bound.port;
    }
    // Bun.serve and Bun.listen; Deno.serve and Deno.listen.
    const { port, addr } = (each ?? {}) as { port?: unknown; addr?: { port?: unknown } };
    for (const told of [port, addr?.port]) if (typeof told === "number") return told;
  }
  return undefined;
}

function sameSocket(kernel: BoundAddress, announced: BoundAddress): boolean {
  // A Unix socket keeps the temporary name under which it was bound.
  if (kernel.kind === "unix") {
    if (announced.kind !== "unix") return false;
    // One that a service manager made has the path itself.
    return kernel.path === announced.path || kernel.path.startsWith(`${announced.path}.`);
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
  let aside: SocketAside | undefined;
  const kernel = libc.socket(fd)?.address;
  let state: "paused" | "open" | "retired" | "finished" = "paused";
  const own = nodeServerOf(server);
  // Deno's node:http cuts every connection after its next response once `listening` is false.
  if (own !== undefined) pretend(own, bound, () => state !== "finished", true);
  return {
    server: own ?? server,
    get fd() {
      return aside?.fd ?? fd;
    },
    bound,
    // deno-lint-ignore require-await -- a doubt is to be a rejection
    async open() {
      if (aside !== undefined && state === "open") {
        aside.putBack();
        aside = undefined;
      }
      if (state !== "paused") return;
      if (deferAccept !== undefined && bound.kind === "tcp") libc.setDeferAccept(fd, deferAccept);
      resume(libc, paused);
      state = "open";
    },
    // deno-lint-ignore require-await -- a doubt is to be a rejection
    async pause() {
      if (state === "open") aside ??= setAside(libc, fd);
    },
    close() {
      if (state === "retired" || state === "finished") return;
      state = "retired";
      aside?.letGo();
      aside = undefined;
      retire(libc, fd);
    },
    ...(own === undefined && kernel !== undefined
      ? { sockets: openConnections(libc, kernel) }
      : {}),
    finish() {
      if (state === "finished") return;
      if (state !== "retired") this.close();
      state = "finished";
      closeServer(server);
    },
  };
}
