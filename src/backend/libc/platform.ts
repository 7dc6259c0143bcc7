/**
 * What the C library looks like on a platform: names, prototypes, constants, layouts.
 *
 * The values are those of 64-bit Linux (x86-64 and arm64 agree, glibc and musl agree, except where
 * noted) and macOS. Sources: the kernel's `include/uapi`, man pages, the macOS SDK's headers.
 *
 * @module
 */

/** Types of C parameters and results, as far as they are needed. */
export type CType =
  /** `int`: 32 bits, signed. */
  | "int"
  /** `size_t`, `ssize_t`, or a pointer that is only passed on: 64 bits, as a number. */
  | "size"
  | "ssize"
  | "address"
  /** A pointer to the bytes of a `Uint8Array`, valid during the call. */
  | "buffer";

/** One C function. */
export interface Prototype {
  /** Its name in the library. */
  readonly symbol: string;
  /** What it takes, in order. */
  readonly parameters: readonly CType[];
  /** What it returns. */
  readonly result: CType;
}

/**
 * The functions that are used, by the name that this library gives them.
 *
 * Every binder offers exactly this; results are numbers, the null pointer is 0.
 */
export interface Symbols {
  /** Address of this thread's `errno`. */
  errnoLocation(): number;
  /** `memcpy(3)` out of foreign memory. */
  memcpy(to: Uint8Array, from: number, length: number): number;
  /** `fcntl(2)`. */
  fcntl(fd: number, command: number, ...argument: number[]): number;
  /** `close(2)`. */
  close(fd: number): number;
  /** `shutdown(2)`. */
  shutdown(fd: number, how: number): number;
  /** `dup3(2)`, elsewhere `dup2(2)` without flags. */
  duplicateOnto(from: number, onto: number, ...flags: number[]): number;
  /** `open(2)` without a mode. */
  open(path: Uint8Array, flags: number): number;
  /** `read(2)`. */
  read(fd: number, to: Uint8Array, length: number): number;
  /** `write(2)`. */
  write(fd: number, from: Uint8Array, length: number): number;
  /** `poll(2)`. */
  poll(fds: Uint8Array, count: number, timeoutMs: number): number;
  /** `readlink(2)`. */
  readlink(path: Uint8Array, to: Uint8Array, length: number): number;
  /** `socket(2)`. */
  socket(family: number, type: number, protocol: number): number;
  /** `bind(2)`. */
  bind(fd: number, address: Uint8Array, length: number): number;
  /** `connect(2)`. */
  connect(fd: number, address: Uint8Array, length: number): number;
  /** `clock_gettime(2)`. */
  clockGettime(clock: number, to: Uint8Array): number;
  /** `listen(2)`. */
  listen(fd: number, backlog: number): number;
  /** `getsockname(2)`. */
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  /** `getpeername(2)`. */
  getpeername(fd: number, address: Uint8Array, length: Uint8Array): number;
  /** `getsockopt(2)`. */
  getsockopt(
    fd: number,
    level: number,
    name: number,
    value: Uint8Array,
    length: Uint8Array,
  ): number;
  /** `setsockopt(2)`. */
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  /** `waitpid(2)`. */
  waitpid(pid: number, status: Uint8Array, options: number): number;
  /** `prctl(2)`; Linux only. */
  prctl(option: number, value: number, third: number, fourth: number, fifth: number): number;
  /** `epoll_ctl(2)`. */
  epollCtl(epoll: number, operation: number, fd: number, event: Uint8Array): number;
}

/** A C function that is not there on every platform is `undefined`. */
export type Prototypes = { readonly [Name in keyof Symbols]: Prototype | undefined };

/** Numbers of the platform. */
export interface Constants {
  /** `fcntl(2)` command. */
  readonly F_DUPFD_CLOEXEC: number;
  /** File status flag. */
  readonly O_NONBLOCK: number;
  /** Flag of `open(2)` and `dup3(2)`. */
  readonly O_CLOEXEC: number;
  /** Address family. */
  readonly AF_INET6: number;
  /** Level of the options that follow (`socket(7)`). */
  readonly SOL_SOCKET: number;
  /** Option: the type of a socket. */
  readonly SO_TYPE: number;
  /** Option: whether it listens. */
  readonly SO_ACCEPTCONN: number;
  /** Option: an address of which connections are left can be bound again. */
  readonly SO_REUSEADDR: number;
  /** Clock that never goes back, whatever the time of day is set to. */
  readonly CLOCK_MONOTONIC: number;
  /** `undefined`: the family is taken from the address. */
  readonly SO_DOMAIN: number | undefined;
  /** Option of level `IPPROTO_IPV6` (`ipv6(7)`). */
  readonly IPV6_V6ONLY: number;
  /** How to ask for the peer's pid: level, name and where it stands in the answer. */
  readonly peerPid: { readonly level: number; readonly name: number; readonly size: number };
  /** How to ask for the peer's user: level and name, size of the answer, and where the user id stands in it. */
  readonly peerUser: {
    readonly level: number;
    readonly name: number;
    readonly size: number;
    readonly offset: number;
  };
  /** Seconds that a connection waits in the kernel for its first byte; Linux only. */
  readonly TCP_DEFER_ACCEPT: number | undefined;
  /** What the kernel knows of a connection (`struct tcp_info` of `linux/tcp.h`); Linux only. */
  readonly TCP_INFO: number | undefined;
  /** Nothing less than a packet is sent; Linux only. */
  readonly TCP_CORK: number | undefined;
}

/** Where things are in the structures of the platform. */
export interface Layout {
  /** `struct sockaddr` begins with a length byte (BSD), the family is one byte. */
  readonly sockaddrHasLength: boolean;
  /** `struct epoll_event`: its size and the offset of `data`; packed on x86-64 only (epoll_ctl(2)). */
  readonly epollEvent: { readonly size: number; readonly data: number };
}

/** A platform that the C calls are written for. */
export interface Platform {
  /** As in `process.platform`. */
  readonly os: "linux" | "darwin";
  /** Names to try, in this order, to open the C library. */
  readonly libraries: readonly string[];
  /** The functions that are used. */
  readonly prototypes: Prototypes;
  /** Its numbers. */
  readonly constants: Constants;
  /** Its structures. */
  readonly layout: Layout;
  /**
   * Values to put between `fcntl`'s second argument and its third.
   *
   * The third is variadic, and Apple's arm64 passes variadic arguments on the stack only ("Writing ARM64
   * code for Apple platforms"): six values fill the registers x2 to x7. Elsewhere variadic integers go
   * where fixed ones go.
   */
  readonly fcntlPadding: readonly number[];
}

const linuxConstants: Constants = {
  F_DUPFD_CLOEXEC: 1030,
  O_NONBLOCK: 0o4000,
  O_CLOEXEC: 0o2000000,
  AF_INET6: 10,
  SOL_SOCKET: 1,
  SO_TYPE: 3,
  SO_ACCEPTCONN: 30,
  SO_REUSEADDR: 2,
  CLOCK_MONOTONIC: 1,
  SO_DOMAIN: 39,
  IPV6_V6ONLY: 26,
  peerPid: { level: 1, name: 17, size: 12 }, // SO_PEERCRED: struct ucred { pid, uid, gid }
  peerUser: { level: 1, name: 17, size: 12, offset: 4 },
  TCP_DEFER_ACCEPT: 9,
  TCP_INFO: 11,
  TCP_CORK: 3,
};

const darwinConstants: Constants = {
  F_DUPFD_CLOEXEC: 67,
  O_NONBLOCK: 0x4,
  O_CLOEXEC: 0x1000000,
  AF_INET6: 30,
  SOL_SOCKET: 0xffff,
  SO_TYPE: 0x1008,
  SO_ACCEPTCONN: 0x2,
  SO_REUSEADDR: 0x4,
  CLOCK_MONOTONIC: 6,
  SO_DOMAIN: undefined,
  IPV6_V6ONLY: 27,
  peerPid: { level: 0, name: 2, size: 4 }, // SOL_LOCAL, LOCAL_PEERPID
  // LOCAL_PEERCRED: struct xucred { version, uid, ngroups, groups[16] }
  peerUser: { level: 0, name: 1, size: 76, offset: 4 },
  TCP_DEFER_ACCEPT: undefined,
  TCP_INFO: undefined,
  TCP_CORK: undefined,
};

function prototype(symbol: string, parameters: readonly CType[], result: CType): Prototype {
  return { symbol, parameters, result };
}

/**
 * Describes the C library of a platform.
 *
 * @param os As in `process.platform`.
 * @param arch As in `process.arch`.
 * @returns The description, or `undefined` for a platform that nobody has described yet.
 */
export function platform(os: string, arch: string): Platform | undefined {
  if (arch !== "x64" && arch !== "arm64") return undefined;
  if (os !== "linux" && os !== "darwin") return undefined;
  const linux = os === "linux";
  const fcntlPadding = !linux && arch === "arm64" ? [0, 0, 0, 0, 0, 0] : [];
  const cpu = arch === "x64" ? "x86_64" : "aarch64";
  return {
    os,
    libraries: linux
      ? [
        "libc.so.6",
        `libc.musl-${cpu}.so.1`,
        `/lib/${cpu}-linux-gnu/libc.so.6`,
        "/lib64/libc.so.6",
        "/usr/lib/libc.so.6",
        `/lib/ld-musl-${cpu}.so.1`,
      ]
      : ["/usr/lib/libSystem.B.dylib"],
    prototypes: {
      errnoLocation: prototype(linux ? "__errno_location" : "__error", [], "address"),
      memcpy: prototype("memcpy", ["buffer", "address", "size"], "address"),
      fcntl: prototype(
        "fcntl",
        ["int", "int", ...fcntlPadding.map((): CType => "int"), "size"],
        "int",
      ),
      close: prototype("close", ["int"], "int"),
      shutdown: prototype("shutdown", ["int", "int"], "int"),
      duplicateOnto: linux
        ? prototype("dup3", ["int", "int", "int"], "int")
        : prototype("dup2", ["int", "int"], "int"),
      open: prototype("open", ["buffer", "int"], "int"),
      read: prototype("read", ["int", "buffer", "size"], "ssize"),
      write: prototype("write", ["int", "buffer", "size"], "ssize"),
      poll: prototype("poll", ["buffer", "size", "int"], "int"),
      readlink: prototype("readlink", ["buffer", "buffer", "size"], "ssize"),
      socket: prototype("socket", ["int", "int", "int"], "int"),
      bind: prototype("bind", ["int", "buffer", "int"], "int"),
      connect: prototype("connect", ["int", "buffer", "int"], "int"),
      clockGettime: prototype("clock_gettime", ["int", "buffer"], "int"),
      listen: prototype("listen", ["int", "int"], "int"),
      getsockname: prototype("getsockname", ["int", "buffer", "buffer"], "int"),
      getpeername: prototype("getpeername", ["int", "buffer", "buffer"], "int"),
      getsockopt: prototype("getsockopt", ["int", "int", "int", "buffer", "buffer"], "int"),
      setsockopt: prototype("setsockopt", ["int", "int", "int", "buffer", "int"], "int"),
      waitpid: prototype("waitpid", ["int", "buffer", "int"], "int"),
      // Variadic; on Linux such integers go where fixed ones go.
      prctl: linux ? prototype("prctl", ["int", "size", "size", "size", "size"], "int") : undefined,
      epollCtl: linux ? prototype("epoll_ctl", ["int", "int", "int", "buffer"], "int") : undefined,
    },
    constants: linux ? linuxConstants : darwinConstants,
    layout: {
      sockaddrHasLength: !linux,
      epollEvent: arch === "x64" ? { size: 12, data: 4 } : { size: 16, data: 8 },
    },
    fcntlPadding,
  };
}
