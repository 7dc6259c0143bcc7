/**
 * The only door to a runtime and the operating system: one small interface.
 *
 * The upgrader holds a `Backend`; the real ones are chosen once by `load.ts`, tests inject the one in
 * `src/testing/`. Everything above this line is the same on every runtime.
 *
 * @module
 */

import type { Address, BoundAddress } from "../address.ts";
import type { ProcessFacts } from "../command.ts";
import type { NativeConnections, NativeRequests } from "./native.ts";

/** A runtime that this library knows. */
export type Runtime = "node" | "deno" | "bun";

/** Undoes what the function that returned it did; calling it twice is harmless. */
export type Disposer = () => void;

/** Time, so that tests can turn it by hand. */
export interface Clock {
  /** Milliseconds on a clock that never goes back (`performance.now()`). */
  now(): number;
  /** Calls `callback` once after `ms` milliseconds; the timer does not keep the process alive. */
  after(ms: number, callback: () => void): Disposer;
}

/**
 * One end of the Unix stream socket pair between parent and child.
 *
 * Whoever holds it owns its descriptor and closes it with `close()`. Callbacks never throw into the runtime.
 */
export interface Channel {
  /** Queues bytes; what can no longer be sent is dropped, the end is told by `onEnd`. */
  write(bytes: Uint8Array): void;
  /** Writes bytes before it returns, for a process that is about to die. Does its best, never throws. */
  writeSync(bytes: Uint8Array): void;
  /** The one receiver of what arrives; set it at once, bytes may be waiting. */
  onData(receiver: (bytes: Uint8Array) => void): void;
  /** Called once when the other side is gone or `close()` was called. */
  onEnd(receiver: () => void): void;
  /** Whether the open channel keeps the process alive. */
  keepAlive(on: boolean): void;
  /** Flushes what is queued and closes the descriptor. */
  close(): void;
}

/** How a child ended; both `null` when that could not be learnt. */
export interface ExitStatus {
  /** Exit code, of a process that exited by itself. */
  readonly code: number | null;
  /** Name of the signal that ended it. */
  readonly signal: string | null;
}

/** What to start as the next generation. */
export interface SpawnRequest {
  /** Executable and arguments. */
  readonly command: readonly string[];
  /** Working directory. */
  readonly cwd: string;
  /** The whole environment, including this library's variable. */
  readonly env: Readonly<Record<string, string>>;
  /** Descriptors of this process that the child finds from 4 on, in this order. */
  readonly fds: readonly number[];
}

/** A process that was started by `spawn`. */
export interface SpawnedProcess {
  /** Its process id. */
  readonly pid: number;
  /** The parent's end of the channel. */
  readonly channel: Channel;
  /** Sends a signal; silently nothing when the process is gone. */
  kill(signal: string): void;
  /** Called once when the process has ended and was reaped. */
  onExit(receiver: (status: ExitStatus) => void): void;
  /** Whether the handle keeps this process alive. */
  keepAlive(on: boolean): void;
}

/** Where a server is to listen, in the words of all three runtimes at once. */
export interface ListenAt {
  /** TCP port; 0 lets the system choose. */
  readonly port?: number;
  /** Address to bind, as Deno and Bun call it. */
  readonly hostname?: string;
  /** Address to bind, as Node calls it. */
  readonly host?: string;
  /** Address to bind, as `node:dgram` calls it; for UDP. */
  readonly address?: string;
  /** What Deno wants to be told of UDP. */
  readonly transport?: "udp";
  /** `false`: an address in use is refused. */
  readonly reusePort?: boolean;
  /** `false` where one socket serves IPv4 and IPv6. */
  readonly ipv6Only?: boolean;
  /** Path of a Unix socket, as Node and Deno call it. */
  readonly path?: string;
  /** Path of a Unix socket, as Bun calls it. */
  readonly unix?: string;
  /** The inherited descriptor, for servers that can take one; the other fields then are a placeholder. */
  readonly fd?: number;
}

/** What `listen` of a backend is asked for. */
export interface ListenTarget {
  /** What the user asked for. */
  readonly address: Address;
  /** The inherited socket, owned by the caller until `listen` resolves, by the server afterwards. */
  readonly inherited?: { readonly fd: number; readonly bound: BoundAddress };
}

/** A server with its listening socket. */
export interface Listener {
  /** The user's server: for `drain/`, and returned from `listen`. */
  readonly server: unknown;
  /** The listening descriptor, to be passed on; owned by the server. -1 where it cannot be. */
  readonly fd: number;
  /** Why it cannot be passed on, and what can; its `fd` is -1 then. */
  readonly stays?: string;
  /** Where it is bound, as the kernel says. */
  readonly bound: BoundAddress;
  /** Begins to accept; a listener that was not paused only resolves. Rejects `ERR_ADOPT` on any doubt. */
  open(): Promise<void>;
  /**
   * Leaves new clients in the kernel's queue until `open()` is called again; connections are left alone.
   *
   * Absent where that cannot be done. Rejects `ERR_UNSUPPORTED` when it turns out so; nothing has changed then.
   */
  pause?(): Promise<void>;
  /** Stops accepting for good and lets go of the socket; open connections are left alone. */
  close(): void;
  /** How many connections are open, where only that can be told. */
  connections?(): number;
  /** Cuts them. @returns How many there were. */
  cut?(): number;
  /** The connections of a server that does not tell them itself. */
  readonly sockets?: NativeConnections;
  /** What is being answered on them. */
  readonly requests?: NativeRequests;
  /** Ends the server itself, once its connections are finished; nothing of it keeps the process alive then. */
  finish(): void;
}

/** What a program is given that is run to its end. */
export interface RunRequest {
  /** Executable and arguments. */
  readonly command: readonly string[];
  /** Its environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Called with its process id while it waits; it goes on, with a line on standard input, when that is settled. */
  readonly started?: (pid: number) => Promise<void>;
}

/** A function that starts a server and returns it. */
export type StartServer = (at: ListenAt) => unknown;

/** What a runtime and its operating system do for the upgrader. */
export interface Backend {
  /** Which runtime. */
  readonly runtime: Runtime;
  /** Version of the runtime. */
  readonly version: string;
  /** This process. */
  readonly pid: number;
  /** Time. */
  readonly clock: Clock;
  /** The environment of this process, live. */
  readonly env: Record<string, string | undefined>;
  /** The process that started this one, as it is now. */
  parentPid(): number;
  /** Whether a process exists. */
  isAlive(pid: number): boolean;
  /**
   * When a process was started, in a unit of the system's: tells it from a later one of the same number.
   *
   * @returns `undefined` when that cannot be learnt.
   */
  startedAt(pid: number): string | undefined;
  /** How a process was started, and by whom; `undefined` when that cannot be learnt. */
  processLine?(
    pid: number,
  ): { readonly cmdline: readonly string[]; readonly parentPid: number } | undefined;
  /** Remembers where standard error ends. @returns Reads what was written since, where that can be read. */
  markStderr?(): () => string;
  /** Sends a signal to a process; false when there is none. */
  kill(pid: number, signal: string): boolean;
  /** What this process was started with: for `command.ts`. */
  readonly facts: ProcessFacts;
  /** Starts the next generation. Rejects `ERR_SPAWN`. */
  spawn(request: SpawnRequest): Promise<SpawnedProcess>;
  /** Takes over this process's end of the channel. */
  openChannel(fd: number): Channel;
  /**
   * Marks an inherited descriptor close-on-exec and, where asked, non-blocking (for all who share it).
   *
   * @returns Whether the descriptor is open.
   */
  secure(fd: number, nonBlocking: boolean): boolean;
  /**
   * Where a descriptor that a service manager opened listens (TCP, Unix) or receives (UDP).
   *
   * @returns `undefined` when it does neither, or that cannot be learnt.
   */
  boundAt(fd: number): Promise<BoundAddress | undefined>;
  /**
   * The user at the other end of a Unix socket, as it was when the connection was made.
   *
   * @returns `undefined` when the C library cannot be asked.
   */
  peerUser?(fd: number): number | undefined;
  /** Whether this process may write a file, where the runtime would have to ask the user; `true` without such a method. */
  mayWrite?(path: string): boolean;
  /** Whether a descriptor is a socket. */
  isSocket(fd: number): boolean;
  /** Whether a descriptor can be a channel: a Unix stream socket that does not listen; one of which nothing can be learnt can. */
  mayBeChannel(fd: number): boolean;
  /** Closes a descriptor that no server took. */
  closeFd(fd: number): void;
  /** Makes a server listen, or a `node:dgram` socket receive. The listener is paused until `open()` where the runtime can. */
  listen(server: unknown, target: ListenTarget): Promise<Listener>;
  /** Calls `start` and finds the socket of what it returns. */
  start(start: StartServer, target: ListenTarget): Promise<Listener>;
  /** Gives the event loop a moment: what has arrived meanwhile is answered before what comes next. */
  breathe(): Promise<void>;
  /** Resolves when every connection that was accepted before has been told to its server. */
  caughtUp(): Promise<void>;
  /**
   * Sends one datagram to a Unix socket, as `sd_notify(3)` does; a name that begins with `@` is abstract.
   *
   * Where the C library can be called it is sent when this returns, by this process. Elsewhere `systemd-notify` sends
   * it. Rejects with the reason when it cannot be sent.
   */
  notify(socket: string, message: string): Promise<void>;
  /** Microseconds on the system's `CLOCK_MONOTONIC`. */
  monotonicUsec(): bigint;
  /** Runs a small program, ten seconds at most. Resolves however it ended. */
  run(request: RunRequest): Promise<ExitStatus>;
  /** Sets the exit code with which this process ends by itself, unless the application has set one. */
  failAtExit(): void;
  /** Installs a signal handler that does not keep the process alive. */
  onSignal(signal: string, handler: () => void): Disposer;
  /** Calls back when an error is about to end this process. */
  onFatalError(handler: (error: unknown) => void): Disposer;
}
