/**
 * What the three backends share: everything that `node:` modules do alike on all of them.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { closeSync, fstatSync, readFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
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
  ListenAt,
  Listener,
  ListenTarget,
  Runtime,
  SpawnedProcess,
  SpawnRequest,
  StartServer,
} from "./backend.ts";
import { socketChannel } from "./channel.ts";
import {
  adoptNodeServer,
  bindError,
  bindNodeServer,
  boundOf,
  closeListener,
  holdListen,
  listening,
  nativeAt,
  type NodeServer,
  type NodeServerHooks,
  nodeServerOf,
  openListener,
} from "./node_server.ts";
import { checkUnixPath, publishUnixPath } from "./unix_path.ts";

const clock: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    // Node's timer object on all three runtimes: its `unref` lets the process end.
    const timer = setTimeout(callback, ms) as unknown as { unref?: () => void };
    timer.unref?.();
    return () => clearTimeout(timer as unknown as number);
  },
};

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
    closeFd: (fd) => this.closeFd(fd),
    stop: (server, fd) => this.stop(server, fd),
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
    try {
      const stat = this.readFile(`/proc/${pid}/stat`);
      return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
    } catch {
      return true;
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

  isSocket(fd: number): boolean {
    try {
      return fstatSync(fd).isSocket();
    } catch {
      return false;
    }
  }

  closeFd(fd: number): void {
    try {
      closeSync(fd);
    } catch {
      // Closed already, which is what was wanted.
    }
  }

  spawn(request: SpawnRequest): Promise<SpawnedProcess> {
    const [file = "", ...args] = request.command;
    const refuse = (cause: unknown) => {
      const { code, message } = cause as { code?: string; message: string };
      const why = code === "ENOENT"
        ? "there is no such file"
        : code === "EACCES"
        ? "it may not be executed"
        : code === "EMFILE" || code === "ENFILE"
        ? "too many files are open; raise the limit of open files (RLIMIT_NOFILE)"
        : message;
      return new UpgradeError("ERR_SPAWN", `Cannot start ${JSON.stringify(file)}: ${why}`, {
        cause,
      });
    };
    return new Promise((resolve, reject) => {
      let child: ReturnType<typeof spawn>;
      try {
        child = spawn(file, args, {
          cwd: request.cwd,
          env: request.env,
          stdio: ["inherit", "inherit", "inherit", "pipe", ...request.fds],
        });
      } catch (error) {
        reject(refuse(error));
        return;
      }
      // A process that could not be started has no pid, and tells why in a later tick.
      child.once("error", (error) => reject(refuse(error)));
      const { pid } = child;
      if (pid === undefined) return;
      const socket = child.stdio[3] as Socket;
      resolve({
        pid,
        channel: socketChannel(socket, () => {}),
        // Not child.kill(): on Deno its second call does nothing, and SIGKILL is always the second.
        kill: (signal) => void this.kill(pid, signal),
        onExit(receiver) {
          if (child.exitCode !== null || child.signalCode !== null) {
            queueMicrotask(() => receiver({ code: child.exitCode, signal: child.signalCode }));
          } else child.once("exit", (code, signal) => receiver({ code, signal }));
        },
        keepAlive(on) {
          if (on) child.ref();
          else child.unref();
        },
      });
    });
  }

  async listen(server: unknown, target: ListenTarget): Promise<Listener> {
    const { address } = target;
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
    const own = nodeServerOf(server) ?? this.foreign(server, address);
    if (!own.listening) {
      await listening(own, () => {}).catch((error) => this.startFailed(error, address));
    }
    if (address.kind === "unix") publishUnixPath(at.path as string, address.path);
    return openListener(own, own, address, this.hooks);
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
    const { server, adopted } = await this.startHeld(start, at, address, inherited);
    return adopted ?? await this.adopted(server, address, inherited);
  }

  /** Calls the user's function; a `node:net` server that takes `at.fd` is adopted and listens when it is opened. */
  protected async startHeld(
    start: StartServer,
    at: ListenAt,
    address: ListenTarget["address"],
    inherited: NonNullable<ListenTarget["inherited"]>,
  ): Promise<{ readonly server: unknown; readonly adopted: Listener | undefined }> {
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
    this.#everyAddress ??= new Promise((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve("0.0.0.0"));
      probe.listen({ port: 0, host: "::1" }, () => {
        probe.close();
        resolve("::");
      });
    });
    return this.#everyAddress;
  }

  onSignal(signal: string, handler: () => void): Disposer {
    if (!(signal in constants.signals)) throw new TypeError(`"${signal}" is not a signal here`);
    process.on(signal, handler);
    return () => process.off(signal, handler);
  }

  onFatalError(handler: (error: unknown) => void): Disposer {
    process.on("uncaughtExceptionMonitor", handler);
    return () => process.off("uncaughtExceptionMonitor", handler);
  }
}

function isBindError(error: unknown): boolean {
  return ["EADDRINUSE", "EACCES", "EPERM", "EADDRNOTAVAIL", "ENOTFOUND", "EAI_AGAIN"].includes(
    (error as { code?: string } | null)?.code ?? "",
  );
}
