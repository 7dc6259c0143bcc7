/**
 * The C calls that no runtime offers: descriptor flags, socket names, epoll.
 *
 * `calls.ts` makes them over a tiny raw binding, which `deno.ts`, `bun.ts` and `node.ts` supply.
 * All calls are synchronous and made on the thread that asks: `errno` belongs to the thread and has to be read
 * right after the call, before anything else runs. That is the best that can be done and not enough: on Deno the
 * runtime itself makes system calls between the two (seen on Deno: `EAGAIN` after `getsockopt`). So
 * `errno` explains a failure, but what is expected to fail is told apart by results alone.
 *
 * @module
 */

/** Where a socket is bound, as the kernel says (getsockname(2)). */
export type SocketName =
  | { readonly hostname: string; readonly port: number }
  /** Empty for an unbound Unix socket; an abstract name begins with a NUL character. */
  | { readonly path: string };

/** What the kernel knows of a socket. */
export interface SocketInfo {
  /** Address family. */
  readonly family: "inet" | "inet6" | "unix";
  /** Kind of socket. */
  readonly type: "stream" | "datagram" | "seqpacket";
  /** Whether `listen(2)` was called on it. */
  readonly listening: boolean;
  /** Where it is bound. */
  readonly address: SocketName;
  /** For `inet6` only: whether it refuses IPv4. */
  readonly v6Only?: boolean;
}

/** A stream socket from outside. */
export interface SocketEnds {
  /** The port or path at which it is bound. */
  readonly place: number | string;
  /** Its other end; `null` where it has none: it listens, or the connection is over. */
  readonly peer: SocketName | null;
}

/** One registration in an epoll instance, as `epoll_ctl(2)` takes it. */
export interface EpollEvent {
  /** Event mask. */
  readonly events: number;
  /** Sixty-four bits that belong to whoever registered, unsigned. */
  readonly data: bigint;
}

/** The C library of this process. Every method throws {@linkcode LibcError}; none blocks unless it says so. */
export interface Libc {
  /** The operating system. epoll and `/proc` are there on `"linux"` only. */
  readonly os: "linux" | "darwin";
  /** Whether the open file description is non-blocking; other processes that share it see the same (fcntl(2)). */
  isNonBlocking(fd: number): boolean;
  /** Sets or clears `O_NONBLOCK`, for everybody who shares the open file description. */
  setNonBlocking(fd: number, on: boolean): void;
  /** Whether the descriptor is closed by `execve(2)`. */
  isCloseOnExec(fd: number): boolean;
  /** Sets or clears `FD_CLOEXEC`; belongs to this descriptor only. */
  setCloseOnExec(fd: number, on: boolean): void;
  /** Whether the number refers to anything. */
  isOpen(fd: number): boolean;
  /** Closes a descriptor. Never retried: on Linux the number is free even after `EINTR` (close(2)). */
  close(fd: number): void;
  /** Ends a connection in both directions; its owner sees the end and closes it (`SHUT_RDWR` of shutdown(2)). */
  shutdown(fd: number): void;
  /** Duplicates a descriptor, close-on-exec, onto the lowest free number from `minimum` (default 3) on. */
  duplicate(fd: number, minimum?: number): number;
  /** Makes the number `onto` refer to what `from` refers to, atomically; `onto` keeps its close-on-exec flag. */
  replace(from: number, onto: number): void;
  /** What kind of socket this is; `undefined` for anything else, and for families other than these three. */
  socket(fd: number): SocketInfo | undefined;
  /** Address of the other end of a connected socket (getpeername(2)). */
  peer(fd: number): SocketName;
  /** Both ends of a stream socket; `undefined` for every other descriptor. Asked of thousands: three calls. */
  ends(fd: number): SocketEnds | undefined;
  /** For how many milliseconds nothing was sent or received on a TCP connection; `undefined` where that is unknown. */
  quietMs(fd: number): number | undefined;
  /** Whether bytes wait to be read, or the other side has ended it (poll(2)). */
  isReadable(fd: number): boolean;
  /** Creates an unbound socket, non-blocking and close-on-exec. */
  createSocket(family: SocketInfo["family"], type: SocketInfo["type"]): number;
  /** Binds a socket to a free port on loopback; a Unix socket to a free abstract name (Linux, unix(7)). */
  bindAnywhere(fd: number): void;
  /** Binds a socket to an address, an IPv6 one to IPv4 as well; one of which connections are left can be bound again. */
  bind(fd: number, name: SocketName): void;
  /** Makes a socket listen. */
  listen(fd: number, backlog: number): void;
  /** All open descriptors, in order; those that name a file without opening it (`O_PATH`) may be missing. */
  openFds(): number[];
  /** Content of a small text file, also in `/proc`. */
  readFile(path: string): string;
  /** Target of a symbolic link. */
  readLink(path: string): string;
  /** Inode of a socket: identifies it within the system, across processes. `undefined` for other files (Linux). */
  inode(fd: number): number | undefined;
  /**
   * Writes bytes before it returns; waits for a full pipe or socket up to `timeoutMs` (default 1000).
   *
   * @returns How many bytes were written: fewer when the time was up.
   */
  writeSync(fd: number, bytes: Uint8Array, timeoutMs?: number): number;
  /**
   * Sends one datagram to a Unix socket and returns when the kernel has it; waits for a full queue up to one second.
   *
   * @param path Its path, or an abstract name that begins with a NUL character.
   * @param bytes The datagram.
   */
  sendDatagram(path: string, bytes: Uint8Array): void;
  /** Microseconds on `CLOCK_MONOTONIC`. */
  monotonicUsec(): bigint;
  /** Process at the other end of a Unix socket, as it was when the connection (or pair) was made. */
  peerPid(fd: number): number;
  /** Effective user of that process, likewise. */
  peerUser(fd: number): number;
  /** Seconds of `TCP_DEFER_ACCEPT` on a listening socket; 0 where it is off or unknown (tcp(7)). */
  deferAccept(fd: number): number;
  /** Sets `TCP_DEFER_ACCEPT`; does nothing where it is unknown. */
  setDeferAccept(fd: number, seconds: number): void;
  /**
   * Sets `TCP_CORK` of a connection: what is less than a packet waits until it is cleared, at most 200 ms (tcp(7)). Does
   * nothing where it is unknown.
   */
  setCork(fd: number, on: boolean): void;
  /** Those of some descriptors that are epoll instances. Linux. */
  epollFds(among: readonly number[]): number[];
  /** `epoll_ctl(EPOLL_CTL_ADD)`. Linux. */
  epollAdd(epoll: number, fd: number, event: EpollEvent): void;
  /** `epoll_ctl(EPOLL_CTL_DEL)`. Linux. */
  epollDelete(epoll: number, fd: number): void;
  /**
   * Makes this process the one to which its descendants fall when their parents end, in place of the system's first
   * (`PR_SET_CHILD_SUBREAPER` of prctl(2)). Linux.
   */
  becomeSubreaper(): void;
  /**
   * Takes note of a child's end, so that it does not stay as a zombie (waitpid(2)). Not for those that the runtime has
   * started: it waits for them itself.
   *
   * @returns How it ended, as the system has it; `undefined` while it runs, and when it is no child of this process.
   */
  reap(pid: number): number | undefined;
}

/** A C call failed. */
export class LibcError extends Error {
  /** Symbolic name, for example `"EBADF"`. */
  readonly errno: string;
  /** The same; errors of the runtimes call it `code`. */
  readonly code: string;
  /** The function that failed. */
  readonly syscall: string;

  /**
   * An error of the C library.
   *
   * @param errno Symbolic name of the error.
   * @param syscall The function that failed.
   * @param detail What it was called with.
   */
  constructor(errno: string, syscall: string, detail: string) {
    super(`${errno}: ${syscall}(${detail}) failed`);
    this.name = "LibcError";
    this.errno = errno;
    this.code = errno;
    this.syscall = syscall;
  }
}
