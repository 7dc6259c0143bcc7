/**
 * The facade that users hold.
 *
 * @module
 */

import { channel } from "node:diagnostics_channel";
import { resolve } from "node:path";
import process from "node:process";
import { type AddressInput, parseAddress, parseDatagramAddress } from "./address.ts";
import type { Backend, Runtime, StartServer } from "./backend/backend.ts";
import { loadBackend } from "./backend/load.ts";
import { toFailure } from "./child.ts";
import { findWrapper, wrapperWarning } from "./command_wrapper.ts";
import { checkPath } from "./control/path.ts";
import { Core, failFrame } from "./core.ts";
import { type Descriptors, descriptorsOf } from "./descriptors.ts";
import type { FinishWork, WorkOptions } from "./drain/application.ts";
import type { DrainReport } from "./drain/drain.ts";
import { UpgradeError } from "./errors.ts";
import type { ExclusiveResource } from "./exclusive.ts";
import {
  type HandOverOptions,
  type ProduceState,
  type ReceivedState,
  stateName,
} from "./hand_over.ts";
import {
  checkCommandOptions,
  checkInteger,
  checkKeys,
  checkMode,
  MAX_TIMER_MS,
  type ResolvedOptions,
  resolveOptions,
  type UpgradeOptions,
  type UpgraderOptions,
} from "./options.ts";
import { Parent, readInvitation } from "./parent.ts";
import { checkPidFile } from "./pid_file.ts";
import type { UpgradeReport, UpgraderEventDetail, UpgraderStatus } from "./report.ts";
import type { SocketAddress } from "./sockets.ts";
import { type Activation, readActivation } from "./systemd/activation.ts";
import { ServiceNotifier } from "./systemd/notifier.ts";

// One upgrader per process, also when two copies of this library are loaded.
const created: WeakSet<object> =
  ((globalThis as Record<symbol, unknown>)[Symbol.for("changeover.created")] ??=
    new WeakSet()) as WeakSet<object>;

/**
 * Replaces the running process by a newer one without losing a request.
 *
 * One per process. Generation 1 binds its sockets; every later one inherits them from its parent. Events
 * ({@linkcode UpgraderEventDetail} as `detail`) go out on this `EventTarget` and on `node:diagnostics_channel` under
 * `changeover:<event>`.
 *
 * @example A server that replaces itself on SIGHUP
 * ```ts no-eval
 * import { createServer } from "node:http";
 * import { Upgrader } from "@changeover/changeover";
 *
 * const upgrader = await Upgrader.create({ pidFile: "/run/app.pid" });
 * await upgrader.listen({ port: 8080 }, createServer((_request, response) => response.end("hello\n")));
 * await upgrader.ready();
 * console.log(await upgrader.exit);
 * await upgrader.drain();
 * ```
 */
export class Upgrader extends EventTarget {
  readonly #core: Core;
  readonly #backend: Backend;
  readonly #parent: Parent | undefined;
  /** Raw descriptors: files, pipes, established connections. */
  readonly fds: Descriptors;

  /** Not for users: {@linkcode Upgrader.create} makes it. */
  private constructor(
    backend: Backend,
    options: ResolvedOptions,
    from: {
      readonly parent: Parent | undefined;
      readonly activation: Activation | undefined;
      readonly notifier: ServiceNotifier | undefined;
    },
  ) {
    super();
    this.#backend = backend;
    this.#parent = from.parent;
    this.#core = new Core(backend, options, from, (event, detail) => {
      this.dispatchEvent(new CustomEvent<UpgraderEventDetail>(event, { detail }));
      const told = channel(`changeover:${event}`);
      if (told.hasSubscribers) told.publish(detail);
    });
    this.fds = descriptorsOf(this.#core.register, backend);
  }

  /**
   * Makes the upgrader of this process; the child of an upgrade learns here what it inherits.
   *
   * @param options See {@linkcode UpgraderOptions}.
   * @returns The upgrader.
   * @throws {TypeError} For an option that is unknown or of the wrong type.
   * @throws {RangeError} For an option out of its bounds.
   * @throws {UpgradeError} `ERR_ALREADY_CREATED`, `ERR_UNSUPPORTED`, `ERR_PROTOCOL`
   */
  static async create(options: UpgraderOptions = {}): Promise<Upgrader> {
    const owner = options?.backend ?? process;
    if (created.has(owner)) {
      throw new UpgradeError(
        "ERR_ALREADY_CREATED",
        "Cannot create a second upgrader: a process has one; share the first",
      );
    }
    created.add(owner);
    let parent: Parent | undefined;
    try {
      // The parent first: it is to learn what is wrong with the options of its child.
      const backend = options?.backend ?? await loadBackend();
      const warnings: string[] = [];
      const invitation = readInvitation(backend, (message) => warnings.push(message));
      if (invitation === undefined) {
        const wrapper = findWrapper(backend.parentPid(), (pid) => backend.processLine?.(pid));
        if (wrapper !== undefined) warnings.push(wrapperWarning(wrapper));
      }
      if (invitation !== undefined) {
        parent = await Parent.join(backend, invitation);
        if (parent === undefined) {
          warnings.push("the parent died before it said what it passed; starting as generation 1");
        }
      }
      const resolved = resolveOptions(options);
      const warn = (message: string) => void warnings.push(message);
      const activation = resolved.systemd
        ? await readActivation(backend, invitation === undefined, warn)
        : undefined;
      const pidFile = resolved.pidFile === undefined
        ? undefined
        : checkPidFile(resolved.pidFile, { cwd: backend.facts.cwd });
      const control = resolved.control === undefined
        ? undefined
        : resolve(backend.facts.cwd, resolved.control);
      if (control !== undefined) warnings.push(...checkPath(control));
      const notifier = resolved.systemd
        ? ServiceNotifier.find(backend, {
          times: resolved,
          facts: {
            generation: parent?.hello.generation ?? 1,
            parentPid: parent?.hello.pid ?? invitation?.ppid,
          },
        }, (message) => resolved.logger.warn(message))
        : undefined;
      await notifier?.starting();
      const upgrader = new Upgrader(backend, { ...resolved, pidFile, control }, {
        parent,
        activation,
        notifier,
      });
      for (const message of warnings) upgrader.#core.log("warn", message);
      return upgrader;
    } catch (error) {
      created.delete(owner);
      parent?.send(failFrame(toFailure(error, "ERR_CHILD_FAILED")));
      parent?.close();
      throw error;
    }
  }

  /** Which process in the chain this is; the first is 1. */
  get generation(): number {
    return this.#core.generation;
  }

  /** Whether this process replaces another one. */
  get hasParent(): boolean {
    return this.#parent !== undefined;
  }

  /** The runtime of this process. */
  get runtime(): Runtime {
    return this.#backend.runtime;
  }

  /** Resolves when this process should leave: a successor has taken over, or `stop()` was called. */
  get exit(): Promise<"upgraded" | "stopped"> {
    return this.#core.exit;
  }

  /** Where the used sockets are bound, in the order of `listen`. */
  get addresses(): readonly SocketAddress[] {
    return this.#core.register.addresses;
  }

  /**
   * Makes a server listen: on the socket that the parent passed for this address, else on a new one.
   *
   * An inherited socket accepts from `ready()` on; what arrives earlier waits in the kernel's queue or is served by
   * the parent.
   *
   * @param address Where; its `name`, or else its canonical form, identifies the socket across generations.
   * @param server A server with `listen(options)` and `close()`, or a function that starts one at `at` and returns it.
   * @returns The server, or what the function returned.
   * @throws {TypeError} When the arguments are of the wrong type.
   * @throws {UpgradeError} `ERR_ADDRESS` when the address cannot be used, `ERR_ADOPT` when the server cannot use the
   * inherited socket; the upgrade fails then and the parent goes on.
   */
  async listen<S>(
    address: AddressInput,
    server: S | ((...at: Parameters<StartServer>) => S | Promise<S>),
  ): Promise<S> {
    const target = parseAddress(address);
    const isServer = typeof (server as { listen?: unknown } | null)?.listen === "function";
    if (!isServer && typeof server !== "function") {
      throw new TypeError(
        "Cannot listen: expected a server with listen() and close(), or a function that starts one and returns it",
      );
    }
    if (isServer && typeof (server as { close?: unknown }).close !== "function") {
      throw new TypeError(
        "Cannot listen: this has listen() but no close(), like an Express application; pass http.createServer(app)",
      );
    }
    if (isServer) {
      await this.#core.listen(target, server, true);
      return server as S;
    }
    // The function may return a framework's instance, which holds the server that listens.
    const start = server as (...at: Parameters<StartServer>) => S | Promise<S>;
    let started!: S | Promise<S>;
    await this.#core.listen(target, (at: Parameters<StartServer>[0]) => started = start(at), false);
    return await started;
  }

  /**
   * Makes a UDP socket receive: the one that the parent passed for this address, else a new one.
   *
   * It receives from `ready()` on; what arrives earlier waits in the kernel's queue or is read by the parent, and each
   * datagram is read by one process. The parent stops reading when the child has taken over. It can still send answers
   * until it has ended; when nothing else keeps it alive after `drain()`, it ends.
   *
   * Without a host name a `node:dgram` socket binds every address of its type, so use `udp6` for both families; a function
   * is told `::` (`0.0.0.0` on a machine without IPv6). The successor must use the same family. What was set on the
   * socket (memberships, buffer sizes, broadcast, TTL) belongs to it and is inherited.
   *
   * @param address Where; a name is shared with `listen`, a port is not.
   * @param socket A socket of `node:dgram` that is not bound yet, or a function that starts one at `at` and returns it:
   * `Deno.listenDatagram(at)`, `Bun.udpSocket({ ...at, socket })`.
   * @returns The socket. `addresses` tells where it is bound; a runtime's own socket may tell another address.
   * @throws {TypeError} When the arguments are of the wrong type.
   * @throws {UpgradeError} `ERR_ADDRESS` when the address cannot be used, or is a path; `ERR_ADOPT` when the socket cannot
   * be the inherited one; the upgrade fails then and the parent goes on.
   *
   * @example An echo server
   * ```ts no-eval
   * import { createSocket } from "node:dgram";
   * import { Upgrader } from "@changeover/changeover";
   *
   * const upgrader = await Upgrader.create();
   * const socket = createSocket("udp6");
   * socket.on("message", (message, from) => socket.send(message, from.port, from.address));
   * await upgrader.bind({ port: 5353 }, socket);
   * await upgrader.ready();
   * ```
   */
  async bind<S>(
    address: AddressInput,
    socket: S | ((...at: Parameters<StartServer>) => S | Promise<S>),
  ): Promise<S> {
    const target = parseDatagramAddress(address);
    const isSocket = typeof (socket as { bind?: unknown } | null)?.bind === "function" &&
      typeof (socket as { close?: unknown }).close === "function";
    if (!isSocket && typeof socket !== "function") {
      throw new TypeError(
        'Cannot bind: expected a socket such as dgram.createSocket("udp6"), or a function that starts one and returns it',
      );
    }
    const listener = await this.#core.listen(target, socket, isSocket);
    return listener.server as S;
  }

  /**
   * Says that this process has all that it needs: it accepts, and the parent may leave.
   *
   * @returns When the parent has acknowledged; at once in generation 1.
   * @throws {UpgradeError} `ERR_ABORTED` when the parent has called the upgrade off, `ERR_ADOPT` when a server cannot
   * take its socket, `ERR_STOPPED`, `ERR_NOT_READY` on a second call. In a child that has accepted already, not before
   * those connections have finished (`drainTimeoutMs` at most): the process may end at this error.
   */
  async ready(): Promise<void> {
    await this.#core.ready();
  }

  /**
   * Starts the next generation and hands over to it.
   *
   * @param options `command`, `env`, `envFile`, `cwd` and `mode` for this upgrade only.
   * @returns How it went, once the successor is the owner; this process then drains and leaves.
   * @throws {UpgradeError} With a `code` that tells why; this process then goes on as if nothing had happened.
   */
  async upgrade(options: UpgradeOptions = {}): Promise<UpgradeReport> {
    checkKeys(options, ["command", "env", "envFile", "cwd", "mode"], "the options of upgrade()");
    const mode = options.mode === undefined ? undefined : checkMode(options.mode, "parallel");
    return await this.#core.upgrade(checkCommandOptions(options), mode);
  }

  /**
   * Names something that only one process may hold, for sequential upgrades (`mode: "sequential"`).
   *
   * Such an upgrade pauses accepting, lets the open connections finish within `drainTimeoutMs`, calls `release`, and only
   * then starts the successor. What has not finished by then stays open: it is cut within another `drainTimeoutMs` once
   * the successor owns the service, and served on when the upgrade fails. Then `reacquire` is called, once the child is
   * gone, and this process accepts again, also when `reacquire` fails or takes longer than `upgradeTimeoutMs`.
   *
   * @param name What messages call it.
   * @param resource `release` lets go of it, `reacquire` takes it back. Several are released in reverse order.
   * @returns Withdraws it.
   * @throws {TypeError} When the name is none or taken, or something is no function.
   *
   * @example A database that one process may have open
   * ```ts no-eval
   * import { DatabaseSync } from "node:sqlite";
   *
   * declare const upgrader: import("@changeover/changeover").Upgrader;
   * const database = new DatabaseSync("/var/lib/app/data.db");
   * upgrader.exclusive("database", {
   *   release: () => database.close(),
   *   reacquire: () => database.open(),
   * });
   * ```
   */
  exclusive(name: string, resource: ExclusiveResource): () => void {
    return this.#core.exclusives.add(name, resource);
  }

  /**
   * Ends the probation of the child early: it is kept.
   *
   * @throws {UpgradeError} `ERR_NOT_READY` when no child is on probation.
   */
  confirm(): void {
    this.#core.confirm();
  }

  /**
   * In a child that is not the owner yet: gives up, and accepts nothing more. The parent goes on; here `ready()` rejects
   * with `ERR_ABORTED`, and `exit` resolves.
   *
   * @param reason Told to whoever asked for the upgrade.
   * @throws {UpgradeError} `ERR_NOT_READY` when this process has no parent that tries it.
   */
  fail(reason: string): void {
    if (typeof reason !== "string") throw new TypeError("Cannot fail: the reason must be a string");
    this.#core.fail(reason);
  }

  /**
   * Offers application state to successors.
   *
   * @param name Under which a successor takes it.
   * @param produce Called for each successor that asks for it, after it has started and before it is ready, so that
   * the state is fresh. Bytes, text, or an async iterable of them, which is read at the pace of the successor. If it
   * throws, the upgrade fails with `ERR_ABORTED` and this process goes on.
   * @param options `freeze` is called before, `thaw` when the upgrade has failed afterwards.
   * @returns Withdraws the offer.
   * @throws {TypeError} When the name is none or taken, or something is no function.
   *
   * @example
   * ```ts no-eval
   * declare const upgrader: import("@changeover/changeover").Upgrader;
   * const cache = new Map<string, unknown>(Object.entries(
   *   await (await upgrader.received("cache"))?.json() ?? {},
   * ));
   * upgrader.handOver("cache", () => JSON.stringify(Object.fromEntries(cache)));
   * ```
   */
  handOver(name: string, produce: ProduceState, options: HandOverOptions = {}): () => void {
    checkKeys(options, ["freeze", "thaw"], "the options of handOver()");
    return this.#core.offers.add(stateName(name), produce, options);
  }

  /**
   * Takes application state from the parent; to be called before `ready()`.
   *
   * @param name As the parent called it.
   * @returns A stream of bytes with `bytes()`, `text()` and `json()` for the whole; `undefined` when there is no parent,
   * when it offers none of that name, or when it was taken already.
   * @throws {TypeError} When the name is none.
   */
  // deno-lint-ignore require-await -- a promise, so that asking may take time one day
  async received(name: string): Promise<ReceivedState | undefined> {
    return this.#core.receiving.take(stateName(name));
  }

  /** Leaves without a successor: interrupts a running upgrade and resolves `exit` with `"stopped"`. */
  stop(): void {
    this.#core.stop();
  }

  /**
   * Makes the drain wait for something that only the application can finish: a stream of events, a queue, a protocol of
   * its own.
   *
   * @param name What reports call it.
   * @param finish Called when the drain begins; it lasts until what this returns is settled, at most until the deadline,
   * at which `signal` is aborted. If it throws, a warning is logged and the drain goes on.
   * @param options `connections` counts what is open, for `status()` and the report.
   * @returns Withdraws it.
   * @throws {TypeError} When the name is none or something is no function.
   * @throws {UpgradeError} `ERR_STOPPED` when the drain has begun.
   *
   * @example Server-sent events, whose clients are told when to come back
   * ```ts no-eval
   * import type { ServerResponse } from "node:http";
   *
   * declare const upgrader: import("@changeover/changeover").Upgrader;
   * const streams = new Set<ServerResponse>();
   * upgrader.drainWith("events", () => {
   *   for (const stream of streams) stream.end("retry: 500\n\n");
   * }, { connections: () => streams.size });
   * ```
   */
  drainWith(name: string, finish: FinishWork, options: WorkOptions = {}): () => void {
    checkKeys(options, ["connections"], "the options of drainWith()");
    return this.#core.drainWith(name, finish, options);
  }

  /**
   * Lets the open connections finish; to be called after `exit`.
   *
   * @param options `timeoutMs`: how long at most. Default: the option `drainTimeoutMs`.
   * @returns What became of the connections. Nothing of the library keeps the process alive afterwards.
   * @throws {UpgradeError} `ERR_NOT_READY` while this process still serves.
   */
  async drain(options: { readonly timeoutMs?: number } = {}): Promise<DrainReport> {
    checkKeys(options, ["timeoutMs"], "the options of drain()");
    const { timeoutMs } = options;
    return await this.#core.drain(
      timeoutMs === undefined
        ? undefined
        : checkInteger("timeoutMs", timeoutMs, 0, 0, MAX_TIMER_MS),
    );
  }

  /**
   * Waits until the parent process is gone.
   *
   * @param options `signal` gives up waiting.
   * @returns At once when there is no parent.
   * @throws The reason of the signal.
   */
  async waitForParent(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (signal === undefined) return await this.#core.parentGone;
    let giveUp!: () => void;
    const aborted = new Promise<never>((_resolve, reject) => {
      giveUp = () => reject(signal.reason);
      signal.addEventListener("abort", giveUp, { once: true });
    });
    try {
      await Promise.race([this.#core.parentGone, aborted]);
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  /** What this process knows about itself, as plain JSON. */
  status(): UpgraderStatus {
    return this.#core.status();
  }
}
