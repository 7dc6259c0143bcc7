/**
 * Bun: `node:net` takes an inherited descriptor; `node:http` does not and gets its connections from a `net.Server`.
 *
 * Bun starts every subprocess with all descriptors but the ones it passes marked close-on-exec (`close_range(2)`), so
 * none of ours is inherited by accident.
 *
 * @module
 */

import { writeSync } from "node:fs";
import type { Socket } from "node:net";
import process from "node:process";
import type { BoundAddress } from "../address.ts";
import { collectFacts, type ProcessFacts } from "../command.ts";
import type {
  Backend,
  Channel,
  Disposer,
  ListenAt,
  Listener,
  ListenTarget,
  SpawnedProcess,
  SpawnRequest,
  StartServer,
} from "./backend.ts";
import { boundByLibc } from "./bound_libc.ts";
import { hookBunServe, uncaughtBunServe } from "./bun_serve.ts";
import { type Held, readCommandLine } from "./common.ts";
import type { Libc } from "./libc/libc.ts";
import { loadLibc } from "./libc/load.ts";
import type { NativeRequests } from "./native.ts";
import { handleDescriptor, type NodeServer } from "./node_server.ts";
import { notifyByLibc } from "./notify.ts";
import type { ServeHook } from "./serve_hooks.ts";
import { spawnRefused } from "./spawn_refused.ts";
import { findTaken, transplant } from "./transplant.ts";
import { TransplantingBackend, type TransplantOptions } from "./transplanting.ts";

/** What is used of Bun's own socket (`Bun.connect`); see Bun's documentation, "TCP sockets". */
interface BunSocket {
  write(bytes: Uint8Array): number;
  end(): void;
  ref(): void;
  unref(): void;
}

interface BunSocketHandler {
  open(socket: BunSocket): void;
  data(socket: BunSocket, bytes: Uint8Array): void;
  drain(socket: BunSocket): void;
  end(socket: BunSocket): void;
  close(socket: BunSocket): void;
  error(socket: BunSocket, error: Error): void;
}

/** What is used of a process that was started (`Bun.spawn`). */
interface BunSubprocess {
  readonly pid: number;
  /** The parent's ends of what was asked for as "pipe" from 3 on, by number. */
  readonly stdio: readonly unknown[];
  readonly exitCode: number | null;
  readonly signalCode: string | null;
  ref(): void;
  unref(): void;
}

interface BunGlobal {
  readonly version: string;
  connect(options: { fd: number; socket: BunSocketHandler }): Promise<BunSocket>;
  spawn(command: string[], options: {
    cwd: string;
    env: Readonly<Record<string, string>>;
    stdio: readonly unknown[];
    onExit(): void;
  }): BunSubprocess;
}

const bun = (globalThis as unknown as { Bun: BunGlobal }).Bun;

/** Bun's `new net.Socket({ fd })` does not read, `Bun.connect({ fd })` does. */
function bunChannel(fd: number): Channel {
  let socket: BunSocket | undefined;
  let receive: ((bytes: Uint8Array) => void) | undefined;
  let ended: (() => void) | undefined;
  let isEnded = false;
  let closing = false;
  let alive = true;
  let queue: Uint8Array[] = [];
  const early: Uint8Array[] = [];

  const end = () => {
    if (isEnded) return;
    isEnded = true;
    ended?.();
  };
  const flush = () => {
    while (socket !== undefined && queue.length > 0) {
      const next = queue[0] as Uint8Array;
      const written = Math.max(0, socket.write(next));
      if (written < next.length) {
        queue[0] = next.subarray(written);
        return;
      }
      queue.shift();
    }
    if (closing && queue.length === 0) socket?.end();
  };
  const opened = (now: BunSocket) => {
    socket = now;
    if (!alive) now.unref();
    flush();
  };
  bun.connect({
    fd,
    socket: {
      open: opened,
      data: (_socket, bytes) => {
        // Bun reuses the buffer of a read.
        const copy = bytes.slice();
        if (receive === undefined) early.push(copy);
        else receive(copy);
      },
      drain: flush,
      end: (now) => {
        end();
        now.end();
      },
      close: end,
      error: end,
    },
  }).catch(end);

  return {
    write(bytes) {
      if (isEnded) return;
      queue.push(bytes);
      if (queue.length === 1) flush();
    },
    writeSync(bytes) {
      try {
        for (const waiting of queue.splice(0)) writeSync(fd, waiting);
        writeSync(fd, bytes);
      } catch {
        // The process is about to die; the other side will learn that in any case.
      }
    },
    onData(receiver) {
      receive = receiver;
      for (const bytes of early.splice(0)) receiver(bytes);
    },
    onEnd(receiver) {
      ended = receiver;
      if (isEnded) queueMicrotask(receiver);
    },
    keepAlive(on) {
      alive = on;
      if (on) socket?.ref();
      else socket?.unref();
    },
    close() {
      closing = true;
      if (isEnded) queue = [];
      flush();
    },
  };
}

/**
 * Starts a process.
 *
 * Not with `node:child_process`, whose first use takes 6 ms in which no request is answered (Bun 1.4), and this 1 ms.
 */
function spawnByBun(
  request: SpawnRequest,
  kill: (pid: number, signal: string) => unknown,
): SpawnedProcess {
  let over = false;
  let ended = () => {};
  let child: BunSubprocess;
  try {
    child = bun.spawn([...request.command], {
      cwd: request.cwd,
      env: request.env,
      stdio: ["inherit", "inherit", "inherit", "pipe", ...request.fds],
      onExit() {
        over = true;
        ended();
      },
    });
  } catch (error) {
    throw spawnRefused(request, error);
  }
  const { pid } = child;
  return {
    pid,
    channel: bunChannel(child.stdio[3] as number),
    kill: (signal) => void kill(pid, signal),
    onExit(receiver) {
      ended = () => receiver({ code: child.exitCode, signal: child.signalCode });
      if (over) queueMicrotask(ended);
    },
    keepAlive(on) {
      if (on) child.ref();
      else child.unref();
    },
  };
}

/** Loaded when a server needs it: that takes 6 ms, and `Bun.serve` needs none of it. */
const net = () => process.getBuiltinModule("node:net");

/** Whether an `http.Server` speaks TLS: that of `node:https`, and also `http.createServer({ key, cert })`. */
function hasTls(server: NodeServer): boolean {
  const { Server: HttpsServer } = process.getBuiltinModule("node:https");
  if (server instanceof HttpsServer) return true;
  const key = Object.getOwnPropertySymbols(server).find(({ description }) => description === "tls");
  return Boolean((server as unknown as Record<symbol, unknown>)[key as symbol]);
}

let rejectionWatchers = 0;

/** Makes a rejection that nobody handles an error that nobody caught, unless the application handles rejections. */
function rethrow(error: unknown): void {
  if (process.listenerCount("unhandledRejection") === 1) throw error;
}

class BunBackend extends TransplantingBackend {
  readonly runtime = "bun";
  readonly version = bun.version;
  readonly facts: ProcessFacts = collectFacts(readCommandLine);

  protected readonly serveHook: ServeHook = hookBunServe(bun);
  #libc: Libc | null | undefined;

  constructor(transplant: boolean) {
    super();
    if (!transplant) this.#libc = null;
  }

  /** Loaded when a server needs it: `node:net` does not. */
  protected get libc(): Libc | undefined {
    if (this.#libc === undefined) {
      const result = loadLibc();
      this.#libc = "libc" in result && result.libc.os === "linux" ? result.libc : null;
    }
    return this.#libc ?? undefined;
  }

  override boundAt(fd: number): Promise<BoundAddress | undefined> {
    const { libc } = this;
    return libc === undefined ? super.boundAt(fd) : Promise.resolve(boundByLibc(libc, fd));
  }

  peerUser(fd: number): number | undefined {
    const { libc } = this;
    return libc?.socket(fd)?.family === "unix" ? libc.peerUser(fd) : undefined;
  }

  override secure(fd: number, nonBlocking: boolean): boolean {
    const isOpen = super.secure(fd, nonBlocking);
    // Another generation leaves its sockets non-blocking, a service manager does not.
    if (isOpen && nonBlocking) this.#libc?.setNonBlocking(fd, true);
    return isOpen;
  }

  override async notify(socket: string, message: string): Promise<void> {
    const { libc } = this;
    if (libc === undefined) await super.notify(socket, message);
    else notifyByLibc(libc, socket, message);
  }

  override monotonicUsec(): bigint {
    return this.libc?.monotonicUsec() ?? super.monotonicUsec();
  }

  // deno-lint-ignore require-await -- a refusal is to be a rejection
  async spawn(request: SpawnRequest): Promise<SpawnedProcess> {
    return spawnByBun(request, (pid, signal) => this.kill(pid, signal));
  }

  protected override uncaught(server: unknown): NativeRequests | undefined {
    return uncaughtBunServe(server);
  }

  protected override listenNode(server: NodeServer, target: ListenTarget): Promise<Listener> {
    // Without libc a carrier listens for http.Server; one with TLS would speak plain HTTP to what that hands on.
    const carried = this.libc === undefined && !hasTls(server);
    if (server instanceof net().Server || carried) return super.listenNode(server, target);
    // Bun's http.Server ignores `fd`.
    return this.start((at) => {
      server.listen(at);
      return server;
    }, target);
  }

  /** Not held back what has taken the socket before the loop turns: it is paused at once. That needs no `node:net`. */
  protected override async startHeld(
    start: StartServer,
    at: ListenAt,
    address: ListenTarget["address"],
    inherited: NonNullable<ListenTarget["inherited"]>,
  ): Promise<Held> {
    const { libc } = this;
    if (libc === undefined) return await super.startHeld(start, at, address, inherited);
    const server = this.call(start, at, address);
    if (!(server instanceof Promise)) return { server, adopted: undefined };
    const own = findTaken(libc, inherited.fd);
    if (own !== undefined) {
      const taken = transplant(libc, own, inherited.fd);
      return { server: await server, adopted: undefined, taken };
    }
    return await super.startHeld(() => server, at, address, inherited);
  }

  override openChannel(fd: number): Channel {
    return bunChannel(fd);
  }

  /** Bun ends the process for a rejection, too, but tells `uncaughtExceptionMonitor` of errors only. */
  override onFatalError(handler: (error: unknown) => void): Disposer {
    const dispose = super.onFatalError(handler);
    if (rejectionWatchers++ === 0) process.on("unhandledRejection", rethrow);
    let installed = true;
    return () => {
      dispose();
      if (installed && --rejectionWatchers === 0) process.off("unhandledRejection", rethrow);
      installed = false;
    };
  }

  protected descriptor(server: NodeServer): number {
    // Bun's http.Server does not tell it.
    return server instanceof net().Server ? handleDescriptor(server) : -1;
  }

  protected override carrier(server: NodeServer): NodeServer {
    const { createServer, Server } = net();
    if (server instanceof Server) return server;
    // Without libc: Bun's http.Server ignores `fd`, but takes connections that a net.Server accepted.
    const carrier = createServer((socket) => void server.emit("connection", socket));
    return carrier as unknown as NodeServer;
  }

  protected socketOn(fd: number): Socket {
    return new (net().Socket)({ fd, readable: true, writable: true });
  }

  protected writeSync(fd: number, bytes: Uint8Array): void {
    writeSync(fd, bytes);
  }
}

/** The backend for Bun. */
export function createBackend({ transplant = true }: TransplantOptions = {}): Promise<Backend> {
  return Promise.resolve(new BunBackend(transplant));
}
