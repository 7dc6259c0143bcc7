/**
 * Servers with `listen(options)` and `close()` as `node:net` made them, on every runtime.
 *
 * @module
 */

import process from "node:process";
import { type Address, type BoundAddress, formatAddress, sameBound } from "../address.ts";
import { UpgradeError } from "../errors.ts";
import type { ListenAt, Listener } from "./backend.ts";
import { publishUnixPath, temporaryUnixPath } from "./unix_path.ts";

/** What is used of a `net.Server`. */
export interface NodeServer {
  listen(options: ListenAt): unknown;
  close(callback?: (error?: Error) => void): unknown;
  address(): unknown;
  readonly listening: boolean;
  on(event: string, listener: (...args: never[]) => void): unknown;
  once(event: string, listener: (...args: never[]) => void): unknown;
  off(event: string, listener: (...args: never[]) => void): unknown;
  emit(event: string, ...args: unknown[]): boolean;
}

/** The socket of a paused server: it is open, and nobody accepts from it. */
export interface Aside {
  /** The number to pass on. */
  readonly fd: number;
  /** The server accepts again. @returns The number of its socket. */
  resume(): Promise<number>;
  /** The server is about to be closed instead. */
  letGo(): void;
}

/** What differs between runtimes. */
export interface NodeServerHooks {
  /** The server whose `listen` is called: the server itself, or one that hands its connections on. */
  carrier(server: NodeServer): NodeServer;
  /** The listening descriptor of a listening server. */
  descriptor(server: NodeServer, bound: BoundAddress): number;
  /** Why a server is not passed on whose descriptor is -1. */
  stays(): string;
  /** Closes a descriptor that no server took. */
  closeFd(fd: number): void;
  /** Stops a server from accepting and lets go of its socket, without touching its connections. */
  stop(server: NodeServer, fd: number): void;
  /** Stops a server from accepting for a while. Rejects `ERR_UNSUPPORTED`. */
  setAside(server: NodeServer, fd: number): Promise<Aside>;
}

/** An open server that can be paused, resumed and stopped. */
class OpenServer {
  readonly #carrier: NodeServer;
  readonly #hooks: NodeServerHooks;
  #fd: number;
  #aside: Aside | undefined;
  #isOpen = true;

  constructor(carrier: NodeServer, fd: number, hooks: NodeServerHooks) {
    this.#carrier = carrier;
    this.#fd = fd;
    this.#hooks = hooks;
  }

  get fd(): number {
    return this.#aside?.fd ?? this.#fd;
  }

  async pause(): Promise<void> {
    if (!this.#isOpen || this.#aside !== undefined) return;
    const aside = await this.#hooks.setAside(this.#carrier, this.#fd);
    this.#aside = aside;
    // Stopped meanwhile.
    if (!this.#isOpen) this.#letGo();
  }

  async resume(): Promise<void> {
    const aside = this.#aside;
    if (aside === undefined || !this.#isOpen) return;
    this.#fd = await aside.resume();
    this.#aside = undefined;
  }

  /** Once: afterwards the number may be somebody else's. */
  stop(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#letGo();
    this.#hooks.stop(this.#carrier, this.#fd);
  }

  /** Ends the server itself. */
  finish(): void {
    this.#isOpen = false;
    this.#letGo();
    closeListener(this.#carrier);
  }

  #letGo(): void {
    this.#aside?.letGo();
    this.#aside = undefined;
  }
}

/** Whether a value has the methods of a `net.Server`. */
export function isNodeServer(value: unknown): value is NodeServer {
  if (typeof value !== "object" || value === null) return false;
  const server = value as Partial<Record<keyof NodeServer, unknown>>;
  return typeof server.listen === "function" && typeof server.close === "function" &&
    typeof server.address === "function" && typeof server.once === "function";
}

/** Finds the `net.Server` in what a user passed: itself, or the `server` of a framework's instance. */
export function nodeServerOf(value: unknown): NodeServer | undefined {
  if (isNodeServer(value)) return value;
  const inner = (value as { server?: unknown } | null | undefined)?.server;
  return isNodeServer(inner) ? inner : undefined;
}

/** The bound address as `server.address()` tells it. */
export function boundOf(server: NodeServer): BoundAddress | undefined {
  const address = server.address() as { address: string; port: number } | string | null;
  if (typeof address === "string") return { kind: "unix", path: address };
  if (address === null || typeof address !== "object") return undefined;
  return { kind: "tcp", hostname: address.address, port: address.port };
}

/** Resolves when a server listens, rejects when it cannot. */
export function listening(server: NodeServer, start: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      server.off("listening", onListening);
      server.off("error", onError);
    };
    const onListening = () => {
      settle();
      resolve();
    };
    const onError = (error: Error) => {
      settle();
      reject(error);
    };
    server.once("listening", onListening);
    server.once("error", onError);
    try {
      start();
    } catch (error) {
      settle();
      reject(error);
    }
    if (server.listening) onListening();
  });
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

/** Closes the listening socket and nothing else: `http.Server.close` would cut idle connections. */
export function closeListener(server: NodeServer): void {
  if (!server.listening) return;
  const { Server } = process.getBuiltinModule("node:net");
  // Bun's http.Server is none.
  if (server instanceof Server) Server.prototype.close.call(server);
  else server.close();
}

/** Whether a server failed because the address is not this machine's, in the word that Deno's `node:net` has for it. */
export function isForeignAddress(error: unknown): boolean {
  const { code, syscall } = (error ?? {}) as { code?: unknown; syscall?: unknown };
  return code === "EINVAL" && syscall === "listen";
}

/** Says why an address cannot be bound. */
export function bindError(address: Address, error: unknown): UpgradeError {
  const where = formatAddress(address);
  const code = (error as { code?: string }).code;
  const why = code === "EADDRINUSE"
    ? "the address is in use by another process and was not inherited from a parent; stop that process or choose another address"
    : code === "EACCES" || code === "EPERM"
    ? "permission was denied; a port below 1024 needs a privilege (CAP_NET_BIND_SERVICE), a path a writable folder"
    : code === "EADDRNOTAVAIL" || isForeignAddress(error)
    ? "this machine does not have that address"
    : code === "ENOTFOUND" || code === "EAI_AGAIN"
    ? "the host name is not known"
    : (error as Error).message;
  return new UpgradeError("ERR_ADDRESS", `Cannot listen on ${where}: ${why}`, { cause: error });
}

/** Where to bind an address natively; a Unix path gets a temporary name first. */
export function nativeAt(address: Address, everyAddress: string): ListenAt {
  if (address.kind === "unix") {
    const path = temporaryUnixPath(address.path);
    return { path, unix: path };
  }
  const hostname = address.hostname ?? everyAddress;
  return {
    port: address.port,
    hostname,
    host: hostname,
    // Elysia would share an address with strangers: what is in use is to be refused.
    reusePort: false,
    // One socket for IPv4 and IPv6 where every address is meant.
    ...(address.hostname === undefined ? { ipv6Only: false } : {}),
  };
}

/**
 * Makes a server listen on an address that nobody passed on.
 *
 * It accepts from now on: no runtime lets a `node:net` server bind without listening.
 */
export async function bindNodeServer(
  server: NodeServer,
  address: Address,
  everyAddress: string,
  hooks: NodeServerHooks,
): Promise<Listener> {
  const carrier = hooks.carrier(server);
  const at = nativeAt(address, everyAddress);
  try {
    await listening(carrier, () => carrier.listen(at));
    if (address.kind === "unix") publishUnixPath(at.path as string, address.path);
  } catch (error) {
    closeListener(carrier);
    throw UpgradeError.is(error) ? error : bindError(address, error);
  }
  return openListener(server, carrier, address, hooks);
}

/** The listener of a server that listens already. */
export function openListener(
  server: NodeServer,
  carrier: NodeServer,
  address: Address,
  hooks: NodeServerHooks,
): Listener {
  const bound: BoundAddress | undefined = address.kind === "unix"
    ? { kind: "unix", path: address.path }
    : boundOf(carrier);
  if (bound === undefined) {
    closeListener(carrier);
    throw new UpgradeError(
      "ERR_ADOPT",
      `Cannot use the server for ${formatAddress(address)}: it does not listen`,
    );
  }
  const fd = hooks.descriptor(carrier, bound);
  pretendOpen(server, carrier, bound);
  const open = new OpenServer(carrier, fd, hooks);
  return {
    server,
    get fd() {
      return open.fd;
    },
    ...(fd < 0 ? { stays: hooks.stays() } : {}),
    bound,
    open: () => open.resume(),
    pause: () => open.pause(),
    close: () => open.stop(),
    finish: () => open.finish(),
  };
}

/**
 * Prepares a server to take an inherited socket.
 *
 * `listen({ fd })` is called by `open`, because no runtime's `node:net` can listen without accepting; until then the
 * descriptor is the listener's, and the server reports the address that it is going to have.
 */
export function adoptNodeServer(
  server: NodeServer,
  inherited: { readonly fd: number; readonly bound: BoundAddress },
  hooks: NodeServerHooks,
): Listener {
  const { fd, bound } = inherited;
  const carrier = hooks.carrier(server);
  const unpretend = pretend(server, bound, () => true, true);
  // To the application it listens now, as one that is bound natively does when `listen` resolves.
  process.nextTick(() => server.emit("listening"));
  let state: "waiting" | "open" | "closed" = "waiting";
  const opened = new OpenServer(carrier, fd, hooks);
  return {
    server,
    get fd() {
      return opened.fd;
    },
    bound,
    async open() {
      if (state === "open") await opened.resume();
      if (state !== "waiting") return;
      state = "open";
      unpretend();
      try {
        await listenQuietly(carrier, () => carrier.listen({ fd }));
      } catch (cause) {
        throw new UpgradeError(
          "ERR_ADOPT",
          `Cannot take over ${formatAddress(bound)}: ${(cause as Error).message}`,
          { cause },
        );
      }
      const actual = bound.kind === "unix" ? bound : boundOf(carrier);
      if (actual === undefined || !sameBound(actual, bound)) {
        const seen = actual === undefined ? "nothing" : formatAddress(actual);
        closeListener(carrier);
        throw new UpgradeError(
          "ERR_ADOPT",
          `Cannot take over ${formatAddress(bound)}: the server listens on ${seen} instead`,
        );
      }
      pretendOpen(server, carrier, bound);
    },
    async pause() {
      if (state === "open") await opened.pause();
    },
    close() {
      if (state === "waiting") hooks.closeFd(fd);
      else if (state === "open") opened.stop();
      state = "closed";
    },
    finish() {
      if (state === "open") state = "closed";
      opened.finish();
    },
  };
}

/**
 * Holds back every `listen({ fd })` on one descriptor while a user's function starts its server: no `node:net` server
 * can be paused, so it listens when `adopt`'s listener is opened. `net.Server.prototype.listen` is stood in for until
 * the function has returned, and for this descriptor only.
 *
 * @param fd The inherited descriptor.
 * @param adopt Is given the server whose `listen` was called.
 * @returns Puts the prototype's method back.
 */
export function holdListen(fd: number, adopt: (server: NodeServer) => void): () => void {
  const { Server } = process.getBuiltinModule("node:net");
  const prototype = Server.prototype as unknown as NodeServer;
  const original = prototype.listen;
  let held = false;
  prototype.listen = function (this: NodeServer, ...args: unknown[]) {
    const options = args[0] as { readonly fd?: unknown } | null | undefined;
    if (held || options?.fd !== fd) return original.apply(this, args as never);
    held = true;
    const callback = args.findLast((argument) => typeof argument === "function");
    if (callback !== undefined) this.once("listening", callback as () => void);
    adopt(this);
    return this;
  };
  return () => {
    prototype.listen = original;
  };
}

/** Makes a server listen without telling the application, which was told when the socket was adopted. */
export function listenQuietly(server: NodeServer, listen: () => unknown): Promise<void> {
  const own = Object.getOwnPropertyDescriptor(server, "emit");
  const emit = server.emit;
  return new Promise((resolve, reject) => {
    // Not deleted, see `pretend`.
    const restore = () => {
      if (own === undefined) server.emit = emit;
      else Object.defineProperty(server, "emit", own);
    };
    const quiet = (event: string, ...args: unknown[]): boolean => {
      if (event !== "listening" && event !== "error") return emit.call(server, event, ...args);
      restore();
      if (event === "listening") resolve();
      else reject(args[0]);
      return true;
    };
    Object.defineProperty(server, "emit", { configurable: true, writable: true, value: quiet });
    try {
      listen();
    } catch (error) {
      restore();
      reject(error);
    }
  });
}

/**
 * Lets a server report the address that it serves where its own answer would be another one: before it is open, when
 * another server accepts for it, and for a Unix socket, whose kernel name is the temporary one.
 *
 * @param listens Whether it listens now.
 * @param both Whether `listening` needs an answer too.
 * @returns Takes that back.
 */
export function pretend(
  server: NodeServer,
  bound: BoundAddress,
  listens: () => boolean,
  both: boolean,
): () => void {
  const address = bound.kind === "unix" ? bound.path : {
    address: bound.hostname,
    family: bound.hostname.includes(":") ? "IPv6" : "IPv4",
    port: bound.port,
  };
  const prototype = Object.getPrototypeOf(server) as NodeServer;
  let over = false;
  Object.defineProperty(server, "address", {
    configurable: true,
    writable: true,
    value: () => over ? prototype.address.call(server) : listens() ? address : null,
  });
  if (both) {
    Object.defineProperty(server, "listening", {
      configurable: true,
      get: () => over ? Reflect.get(prototype, "listening", server) : listens(),
    });
  }
  // Not deleted: V8 would keep the properties of the server in a dictionary from then on, and each request looks at many.
  return () => over = true;
}

/** What `pretend` has to do for a server that is open. */
function pretendOpen(server: NodeServer, carrier: NodeServer, bound: BoundAddress): void {
  if (carrier !== server) pretend(server, bound, () => carrier.listening, true);
  else if (bound.kind === "unix") pretend(server, bound, () => server.listening, false);
}
