/**
 * What the three backends share: everything that `node:` modules do alike on all of them.
 *
 * @module
 */

import { closeSync, fstatSync, readFileSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { constants } from "node:os";
import process from "node:process";
import { type BoundAddress, formatAddress, sameBound } from "../address.ts";
import type { ProcessFacts } from "../command.ts";
import { UpgradeError } from "../errors.ts";
import type {
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
} from "./backend.ts";
import { socketChannel } from "./channel.ts";
import {
  bound,
  checkSocket,
  datagramAt,
  type DatagramParts,
  type DatagramSocket,
  letGo,
  refusal,
} from "./datagram.ts";
import {
  adoptNodeServer,
  type Aside,
  bindError,
  bindNodeServer,
  boundOf,
  closeListener,
  holdListen,
  isForeignAddress,
  listening,
  nativeAt,
  type NodeServer,
  type NodeServerHooks,
  nodeServerOf,
  openListener,
} from "./node_server.ts";
import { notifyByHelper } from "./notify.ts";
import { boundInProc, mayBePairInProc } from "./proc_net.ts";
import { instead } from "./staying.ts";
import { markStderr } from "./stderr_tail.ts";
import type { Transplanted } from "./transplant.ts";
import { checkUnixPath, publishUnixPath } from "./unix_path.ts";

const BREATH_MS = 2;

const clock: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    // Node's timer object on all three runtimes: its `unref` lets the process end.
    const timer = setTimeout(callback, ms) as unknown as { unref?: () => void };
    timer.unref?.();
    return () => clearTimeout(timer as unknown as number);
  },
};

/** `/proc/self/cmdline`, where the system has it (`proc(5)`). */
export function readCommandLine(): string | undefined {
  try {
    return readFileSync("/proc/self/cmdline", "utf8");
  } catch {
    return undefined;
  }
}

/** Closes whatever a `start` function returned, for an upgrade that fails. */
export function closeServer(server: unknown): void {
  const candidate = (nodeServerOf(server) ?? server) as Record<string, unknown> | null | undefined;
  for (const method of ["close", "stop", "shutdown"]) {
    const close = candidate?.[method];
    if (typeof close !== "function") continue;
    try {
      const closing: unknown = close.call(candidate, ...(method === "stop" ? [true] : []));
      if (closing instanceof Promise) closing.catch(() => {});
    } catch {
      // It did not listen; there is nothing to close.
    }
    return;
  }
}

/** What the user's function returned for an inherited socket. */
export interface Held {
  readonly server: unknown;
  /** The listener of a `node:net` server that took the socket, and that will listen when it is opened. */
  readonly adopted: Listener | undefined;
  /** The socket, where it was taken and is paused by now. */
  readonly taken?: Transplanted;
}

/** A backend on `node:` modules; subclasses say what their runtime does differently. */
export abstract class CommonBackend implements Backend {
  abstract readonly runtime: Runtime;
  abstract readonly version: string;
  abstract readonly facts: ProcessFacts;
  readonly pid: number = process.pid;
  readonly clock: Clock = clock;
  readonly env: Record<string, string | undefined> = process.env;

  /** What `node:net` servers need from this runtime. */
  protected readonly hooks: NodeServerHooks = {
    carrier: (server) => this.carrier(server),
    descriptor: (server, bound) => this.descriptor(server, bound),
    stays: () => instead(this.runtime),
    closeFd: (fd) => this.closeFd(fd),
    stop: (server, fd) => this.stop(server, fd),
    setAside: (server, fd) => this.setAside(server, fd),
  };
  #everyAddress: Promise<string> | undefined;

  /** The listening descriptor of a `node:net` server. */
  protected abstract descriptor(server: NodeServer, bound: BoundAddress): number;

  /** The server that accepts for `server`. */
  protected carrier(server: NodeServer): NodeServer {
    return server;
  }

  /** Stops a `node:net` server from accepting, leaving its connections alone. */
  protected stop(server: NodeServer, _fd: number): void {
    closeListener(server);
  }

  /** Stops a `node:net` server from accepting for a while. */
  protected abstract setAside(server: NodeServer, fd: number): Promise<Aside>;

  /** Writes to a descriptor before it returns. */
  protected abstract writeSync(fd: number, bytes: Uint8Array): void;

  /** Opens a stream socket on a descriptor. */
  protected abstract socketOn(fd: number): Socket;

  parentPid(): number {
    return process.ppid;
  }

  isAlive(pid: number): boolean {
    try {
      process.kill(pid, 0);
    } catch (error) {
      if ((error as { code?: string }).code !== "EPERM") return false;
    }
    // A process that has ended and was not reaped (a container without an init) still takes signals.
    return !/^[ZX]/.test(this.#stat(pid)?.[0] ?? "");
  }

  startedAt(pid: number): string | undefined {
    return this.#stat(pid)?.[19];
  }

  processLine(pid: number): { readonly cmdline: string[]; readonly parentPid: number } | undefined {
    const parentPid = Number(this.#stat(pid)?.[1]);
    if (!Number.isInteger(parentPid)) return undefined;
    try {
      const cmdline = this.readFile(`/proc/${pid}/cmdline`).split("\0").filter((text) =>
        text !== ""
      );
      return { cmdline, parentPid };
    } catch {
      return undefined;
    }
  }

  markStderr(): () => string {
    return markStderr();
  }

  /** The fields of `/proc/<pid>/stat` after the name of the program, from `state` on; see proc(5). */
  #stat(pid: number): string[] | undefined {
    try {
      const stat = this.readFile(`/proc/${pid}/stat`);
      return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    } catch {
      return undefined;
    }
  }

  /** Reads a small file of the kernel's. */
  protected readFile(path: string): string {
    return readFileSync(path, "utf8");
  }

  kill(pid: number, signal: string): boolean {
    try {
      return process.kill(pid, signal);
    } catch {
      return false;
    }
  }

  openChannel(fd: number): Channel {
    return socketChannel(this.socketOn(fd), (bytes) => this.writeSync(fd, bytes));
  }

  secure(fd: number, _nonBlocking: boolean): boolean {
    try {
      fstatSync(fd);
      return true;
    } catch {
      return false;
    }
  }

  breathe(): Promise<void> {
    // A turn of the loop is not enough: on Bun and Deno a request takes several to be answered.
    return new Promise((resolve) => setTimeout(resolve, BREATH_MS));
  }

  async caughtUp(): Promise<void> {
    // A connection that the runtime has accepted is told in a later turn of its loop, at most the one after the next.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
  }

  boundAt(fd: number): Promise<BoundAddress | undefined> {
    const found = boundInProc(fd);
    return Promise.resolve(found === "other" ? undefined : found);
  }

  isSocket(fd: number): boolean {
    try {
      return fstatSync(fd).isSocket();
    } catch {
      return false;
    }
  }

  mayBeChannel(fd: number): boolean {
    return this.isSocket(fd) && mayBePairInProc(fd) !== false;
  }

  closeFd(fd: number): void {
    try {
      closeSync(fd);
    } catch {
      // Closed already, which is what was wanted.
    }
  }

  /** See `Backend`. */
  abstract spawn(request: SpawnRequest): Promise<SpawnedProcess>;

  async listen(server: unknown, target: ListenTarget): Promise<Listener> {
    const { address } = target;
    if (address.kind === "udp") {
      const socket = checkSocket(server, target);
      const start = (at: ListenAt) => {
        socket.bind(at);
        return socket;
      };
      return await this.#datagram(start, target, { socket, hostname: address.hostname });
    }
    const refuse = (why: string): never => {
      throw new UpgradeError(
        "ERR_ADOPT",
        `Cannot use the server for ${formatAddress(address)}: ${why}`,
      );
    };
    // A framework's instance (Fastify) has to finish its own preparations before its server may listen.
    const prepare = (server as { ready?: unknown }).ready;
    if (nodeServerOf(server) !== server && typeof prepare === "function") {
      await prepare.call(server);
    }
    const own = nodeServerOf(server) ??
      refuse("it is no server with listen() and close(), such as http.createServer(app) returns");
    if (own.listening) refuse("it listens already; pass it before its own listen() is called");
    return await this.listenNode(own, target);
  }

  /** Makes a server that has `listen` and `close` listen. */
  protected async listenNode(
    server: NodeServer,
    { address, inherited }: ListenTarget,
  ): Promise<Listener> {
    if (inherited !== undefined) return adoptNodeServer(server, inherited, this.hooks);
    if (address.kind === "unix") await checkUnixPath(address.path);
    return await bindNodeServer(server, address, await this.hostnameFor(address), this.hooks);
  }

  async start(start: StartServer, target: ListenTarget): Promise<Listener> {
    const { address, inherited } = target;
    if (address.kind === "udp") {
      const hostname = await this.hostnameFor(address);
      return await this.#datagram(start, target, { socket: undefined, hostname });
    }
    if (inherited !== undefined) return await this.startInherited(start, address, inherited);
    if (address.kind === "unix") await checkUnixPath(address.path);
    return await this.startNative(
      start,
      target,
      nativeAt(address, await this.hostnameFor(address)),
    );
  }

  /** Starts a server of generation 1, or one that was not inherited. */
  protected async startNative(
    start: StartServer,
    target: ListenTarget,
    at: ListenAt,
  ): Promise<Listener> {
    const { address } = target;
    let server = this.call(start, at, address);
    if (server instanceof Promise) {
      server = await server.catch((error) => this.startFailed(error, address));
    }
    const own = nodeServerOf(server);
    const staying = own === undefined
      ? this.staying(server, address) ?? this.foreign(server, address)
      : undefined;
    if (own?.listening === false) {
      await listening(own, () => {}).catch((error) => this.startFailed(error, address));
    }
    const actual = own === undefined ? undefined : boundOf(own);
    if (actual !== undefined && isElsewhere(actual, address)) {
      closeServer(server);
      throw new UpgradeError(
        "ERR_ADOPT",
        `Cannot use the server for ${formatAddress(address)}: it listens on ${
          formatAddress(actual)
        }; start it with everything in "at"`,
      );
    }
    if (address.kind === "unix") publishUnixPath(at.path as string, address.path);
    return staying ?? openListener(own as NodeServer, own as NodeServer, address, this.hooks);
  }

  /** Makes a UDP socket receive, once it is opened. */
  protected abstract datagram(target: ListenTarget, parts: DatagramParts): Promise<Listener>;

  #datagram(
    start: StartServer,
    target: ListenTarget,
    of: { readonly socket: DatagramSocket | undefined; readonly hostname: string | undefined },
  ): Promise<Listener> {
    const { address } = target;
    return this.datagram(target, {
      socket: of.socket,
      at: datagramAt(of.hostname, address.kind === "unix" ? 0 : address.port),
      bind: async (at) => {
        let socket = this.call(start, at, address);
        try {
          // Nothing is awaited that is there already: the event loop is not to receive for it.
          if (socket instanceof Promise) socket = await socket;
          await bound(socket);
        } catch (error) {
          return this.startFailed(error, address);
        }
        if (socket !== undefined && socket !== null) return socket;
        throw refusal(address, "the function returned nothing; return the socket");
      },
      close: closeServer,
      finish: (socket) => letGo(socket, closeServer, this.clock),
    });
  }

  /** Calls the user's function; what it throws because of the address is said in our words. */
  protected call(start: StartServer, at: ListenAt, address: ListenTarget["address"]): unknown {
    try {
      return start(at);
    } catch (error) {
      return this.startFailed(error, address);
    }
  }

  /** The user's function failed. */
  protected startFailed(error: unknown, address: ListenTarget["address"]): never {
    throw isBindError(error) ? bindError(address, error) : error;
  }

  /** Starts a server on an inherited socket; it must have taken `at.fd`. */
  protected async startInherited(
    start: StartServer,
    address: ListenTarget["address"],
    inherited: NonNullable<ListenTarget["inherited"]>,
  ): Promise<Listener> {
    const at = { ...this.placeholder(inherited.bound), fd: inherited.fd };
    try {
      const { server, adopted } = await this.startHeld(start, at, address, inherited);
      return adopted ?? await this.adopted(server, address, inherited);
    } finally {
      // Deno leaves it when the process ends right away.
      if (at.path !== undefined) rmSync(at.path, { force: true });
    }
  }

  /** Calls the user's function; a `node:net` server that takes `at.fd` is adopted and listens when it is opened. */
  protected async startHeld(
    start: StartServer,
    at: ListenAt,
    address: ListenTarget["address"],
    inherited: NonNullable<ListenTarget["inherited"]>,
  ): Promise<Held> {
    let adopted: Listener | undefined;
    const letGo = holdListen(inherited.fd, (server) => {
      adopted = adoptNodeServer(server, inherited, this.hooks);
    });
    try {
      let server = this.call(start, at, address);
      // A server that is started at once is looked at at once, before the event loop can accept for it.
      if (server instanceof Promise) server = await server;
      return { server, adopted };
    } catch (error) {
      return this.startFailed(error, address);
    } finally {
      letGo();
    }
  }

  /** Where a server is told to listen besides `fd`: something harmless of the same family. */
  protected placeholder(bound: BoundAddress): ListenAt {
    return bound.kind === "unix"
      ? nativeAt({ kind: "unix", path: `${bound.path}.placeholder` }, "")
      : nativeAt({
        kind: "tcp",
        hostname: bound.hostname.includes(":") ? "::1" : "127.0.0.1",
        port: 0,
      }, "");
  }

  /** A started server that must have taken the inherited descriptor. */
  protected async adopted(
    server: unknown,
    address: ListenTarget["address"],
    { bound }: NonNullable<ListenTarget["inherited"]>,
  ): Promise<Listener> {
    const own = nodeServerOf(server) ?? this.foreign(server, address);
    if (!own.listening) await listening(own, () => {});
    const actual = bound.kind === "unix" ? bound : boundOf(own);
    if (actual === undefined || !sameBound(actual, bound)) {
      closeServer(server);
      throw new UpgradeError(
        "ERR_ADOPT",
        `Cannot take over ${formatAddress(bound)}: the server did not use at.fd and listens on ${
          actual === undefined ? "nothing" : formatAddress(actual)
        }; start it with everything in "at"`,
      );
    }
    return openListener(own, own, address, this.hooks);
  }

  /** The listener of a server that `node:net` did not make, where such a one can at least be started. */
  protected staying(_server: unknown, _address: ListenTarget["address"]): Listener | undefined {
    return undefined;
  }

  /** A server that `node:net` did not make. */
  protected foreign(server: unknown, address: ListenTarget["address"]): never {
    closeServer(server);
    throw new UpgradeError(
      "ERR_ADOPT",
      `Cannot use the server for ${formatAddress(address)}: the function returned ${
        server === undefined ? "nothing" : "something"
      } that is no node:net server; return the server, or the framework's instance that holds it as "server"`,
    );
  }

  /** The host name to bind: where none was given dual-stack, or IPv4 on a machine without IPv6. */
  protected hostnameFor(address: ListenTarget["address"]): Promise<string> {
    if (address.kind === "unix") return Promise.resolve("");
    if (address.hostname !== undefined) return Promise.resolve(address.hostname);
    this.#everyAddress ??= everyAddress();
    return this.#everyAddress;
  }

  notify(socket: string, message: string): Promise<void> {
    return notifyByHelper(this, socket, message);
  }

  monotonicUsec(): bigint {
    return process.hrtime.bigint() / 1_000n;
  }

  async run(request: RunRequest): Promise<ExitStatus> {
    return await (await import("./run.ts")).run(request);
  }

  failAtExit(): void {
    if (!process.exitCode) process.exitCode = 1;
  }

  onSignal(signal: string, handler: () => void): Disposer {
    if (!(signal in constants.signals)) throw new TypeError(`"${signal}" is not a signal here`);
    return listen(signal, handler);
  }

  onFatalError(handler: (error: unknown) => void): Disposer {
    return listen("uncaughtExceptionMonitor", handler);
  }
}

/** `::`, or `0.0.0.0` on a machine without IPv6. */
async function everyAddress(): Promise<string> {
  const { createServer } = await import("node:net");
  return await new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve("0.0.0.0"));
    probe.listen({ port: 0, host: "::1" }, () => {
      probe.close();
      resolve("::");
    });
  });
}

/** Whether a server is not where it was told to be; a host name can be spelt in too many ways to be compared. */
function isElsewhere(actual: BoundAddress, told: ListenTarget["address"]): boolean {
  if (actual.kind === "unix" || told.kind === "unix") return actual.kind !== told.kind;
  return told.port !== 0 && actual.port !== told.port;
}

/** Listens to the process; the disposer takes out this listener and never an equal one. */
function listen(event: string, handler: (...args: unknown[]) => void): Disposer {
  const own = (...args: unknown[]) => handler(...args);
  process.on(event, own);
  return () => process.off(event, own);
}

function isBindError(error: unknown): boolean {
  return ["EADDRINUSE", "EACCES", "EPERM", "EADDRNOTAVAIL", "ENOTFOUND", "EAI_AGAIN"].includes(
    (error as { code?: string } | null)?.code ?? "",
  ) || isForeignAddress(error);
}
