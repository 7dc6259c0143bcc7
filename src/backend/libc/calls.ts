/**
 * The C library over a raw binding: arguments and results as bytes and numbers, `errno` as errors.
 *
 * @module
 */

import { constants as osConstants } from "node:os";
import { formatIp } from "./ip.ts";
import { encodeName } from "./socket_name.ts";
import { type Libc, LibcError, type SocketInfo, type SocketName } from "./libc.ts";
import type { Platform, Symbols } from "./platform.ts";

// How many closed numbers in a row are taken for the end of the open ones where the kernel does not tell it.
const MAX_GAP = 1024;
/** How many numbers one call asks for: to ask for each alone, or to read the folder of all, takes several times as long. */
const ASKED_AT_ONCE = 256;
const F_GETFD = 1;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
/** `sys/socket.h`; the same everywhere. */
const SHUT_RDWR = 2;
const FD_CLOEXEC = 1;
const AF_UNIX = 1;
const AF_INET = 2;
const IPPROTO_TCP = 6;
const IPPROTO_IPV6 = 41;
/** `linux/prctl.h`. */
const PR_SET_CHILD_SUBREAPER = 36;
/** `sys/wait.h`; the same everywhere. */
const WNOHANG = 1;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const POLLIN = 1;
const POLLOUT = 4;
const POLLNVAL = 0x20;
/** In `struct tcp_info`: what is sent and not acknowledged, and how long ago data was sent and received. */
const TCP_UNACKED = 24;
const TCP_LAST_SENT = 44;
const TCP_LAST_RECEIVED = 52;
const TCP_INFO_SIZE = 56;
const SOCKET_TYPES = { stream: 1, datagram: 2, seqpacket: 5 } as const;
/** Room for the longest `struct sockaddr_un` and to spare. */
const SOCKADDR_SIZE = 128;
/** `PATH_MAX`. */
const LINK_SIZE = 4096;
const READ_SIZE = 65536;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Names by number, from the runtime's own table. */
function errnoNames(): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const [name, value] of Object.entries(osConstants.errno)) {
    if (!names.has(value)) names.set(value, name);
  }
  return names;
}

function cString(text: string): Uint8Array {
  return encoder.encode(text + "\0");
}

interface Int32 {
  readonly bytes: Uint8Array;
  get(): number;
  set(value: number): void;
}

function int32(value = 0): Int32 {
  const view = new DataView(new ArrayBuffer(4));
  view.setInt32(0, value, true);
  return {
    bytes: new Uint8Array(view.buffer),
    get: () => view.getInt32(0, true),
    set: (value) => view.setInt32(0, value, true),
  };
}

/**
 * Builds the C library over a raw binding.
 *
 * @param symbols The functions, as a binder loaded them.
 * @param platform Describes this machine.
 * @returns The C library.
 * @throws {LibcError} When the binding does not report errors as it should.
 */
export function createLibc(symbols: Symbols, platform: Platform): Libc {
  const { constants, layout, os } = platform;
  const names = errnoNames();
  // One thread, one address: errno(3) is thread-local, and a module instance belongs to one thread.
  const errnoAddress = symbols.errnoLocation();
  const errnoBytes = new Uint8Array(4);
  const errnoView = new DataView(errnoBytes.buffer);

  function lastError(): string {
    symbols.memcpy(errnoBytes, errnoAddress, 4);
    const number = errnoView.getInt32(0, true);
    return names.get(number) ?? `errno ${number}`;
  }

  /** Returns what a call returned, or throws what it left in `errno`. */
  function check(result: number, syscall: string, detail: string | number): number {
    if (result >= 0) return result;
    throw new LibcError(lastError(), syscall, String(detail));
  }

  function retry(call: () => number, syscall: string, detail: string | number): number {
    for (;;) {
      const result = call();
      if (result >= 0) return result;
      const errno = lastError();
      if (errno !== "EINTR") throw new LibcError(errno, syscall, String(detail));
    }
  }

  function fcntl(fd: number, command: number, argument: number): number {
    const result = symbols.fcntl(fd, command, ...platform.fcntlPadding, argument);
    return check(result, "fcntl", fd);
  }

  function linuxOnly(syscall: string): void {
    if (os !== "linux") throw new LibcError("ENOSYS", syscall, "");
  }

  function option(fd: number, level: number, name: number, size = 4, offset = 0): number {
    const value = new Uint8Array(size);
    check(symbols.getsockopt(fd, level, name, value, int32(size).bytes), "getsockopt", fd);
    return new DataView(value.buffer).getInt32(offset, true);
  }

  // Calls are synchronous, so one is enough; to allocate it takes longer than to read the link.
  const linkBuffer = new Uint8Array(LINK_SIZE);
  const typeView = int32();
  const typeLength = int32(4);

  /** `undefined` for what is no socket. Asked of every descriptor, so nothing is allocated. */
  function socketType(fd: number): number | undefined {
    const { SOL_SOCKET, SO_TYPE } = constants;
    const result = symbols.getsockopt(fd, SOL_SOCKET, SO_TYPE, typeView.bytes, typeLength.bytes);
    return result < 0 ? undefined : typeView.get();
  }

  function familyNumber(family: SocketInfo["family"]): number {
    if (family === "unix") return AF_UNIX;
    return family === "inet" ? AF_INET : constants.AF_INET6;
  }

  function familyName(number: number): SocketInfo["family"] | undefined {
    if (number === AF_UNIX) return "unix";
    if (number === AF_INET) return "inet";
    return number === constants.AF_INET6 ? "inet6" : undefined;
  }

  function socketName(
    fd: number,
    end: "getsockname" | "getpeername" = "getsockname",
  ): { readonly bytes: Uint8Array; readonly family: number } {
    const bytes = new Uint8Array(SOCKADDR_SIZE);
    const length = int32(SOCKADDR_SIZE);
    check(symbols[end](fd, bytes, length.bytes), end, fd);
    const view = new DataView(bytes.buffer);
    const family = layout.sockaddrHasLength ? view.getUint8(1) : view.getUint16(0, true);
    return { bytes: bytes.subarray(0, Math.min(length.get(), SOCKADDR_SIZE)), family };
  }

  function decodeName(bytes: Uint8Array, family: SocketInfo["family"]): SocketName {
    if (family === "unix") {
      const path = bytes.subarray(2);
      if (path[0] === 0) return { path: decoder.decode(path) }; // abstract: its length counts
      const end = path.indexOf(0);
      return { path: decoder.decode(end < 0 ? path : path.subarray(0, end)) };
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const port = view.getUint16(2);
    if (family === "inet") return { hostname: formatIp(bytes.subarray(4, 8)), port };
    const scope = view.getUint32(24, true);
    const hostname = formatIp(bytes.subarray(8, 24));
    return { hostname: scope === 0 ? hostname : `${hostname}%${scope}`, port };
  }

  const rawLength = int32();
  const rawName = new Uint8Array(SOCKADDR_SIZE);
  const rawView = new DataView(rawName.buffer);

  /** Writes a socket's name; 0 when it has none. Nothing is allocated. */
  function rawNameOf(
    fd: number,
    end: "getsockname" | "getpeername",
    into: Uint8Array = rawName,
  ): number {
    rawLength.set(SOCKADDR_SIZE);
    return symbols[end](fd, into, rawLength.bytes) < 0
      ? 0
      : Math.min(rawLength.get(), SOCKADDR_SIZE);
  }

  function rawFamily(): SocketInfo["family"] {
    const number = layout.sockaddrHasLength ? rawView.getUint8(1) : rawView.getUint16(0, true);
    return familyName(number) ?? "unix";
  }

  function rawPath(length: number): string {
    const name = decodeRaw(length);
    return "path" in name ? name.path : "";
  }

  function decodeRaw(length: number): SocketName {
    return decodeName(rawName.subarray(0, length), rawFamily());
  }

  function readBytes(path: string): Uint8Array {
    const name = cString(path);
    const fd = retry(() => symbols.open(name, constants.O_CLOEXEC), "open", path);
    const chunks: Uint8Array[] = [];
    let length = 0;
    try {
      for (;;) {
        const chunk = new Uint8Array(READ_SIZE);
        const count = retry(() => symbols.read(fd, chunk, READ_SIZE), "read", path);
        if (count === 0) break;
        chunks.push(chunk.subarray(0, count));
        length += count;
      }
    } finally {
      symbols.close(fd);
    }
    const all = new Uint8Array(length);
    let offset = 0;
    for (const chunk of chunks) {
      all.set(chunk, offset);
      offset += chunk.length;
    }
    return all;
  }

  /** Waits until `fd` takes bytes; false when the time was up. */
  function waitWritable(fd: number, deadline: number): boolean {
    for (;;) {
      const leftMs = Math.ceil(deadline - performance.now());
      if (leftMs <= 0) return false;
      const request = new DataView(new ArrayBuffer(8)); // struct pollfd
      request.setInt32(0, fd, true);
      request.setInt16(4, POLLOUT, true);
      const count = symbols.poll(new Uint8Array(request.buffer), 1, leftMs);
      if (count > 0) return true;
      if (count < 0) {
        const errno = lastError();
        if (errno !== "EINTR") throw new LibcError(errno, "poll", String(fd));
      }
    }
  }

  function isEpoll(fd: number): boolean {
    try {
      return libc.readLink(`/proc/self/fd/${fd}`) === "anon_inode:[eventpoll]";
    } catch {
      return false; // closed meanwhile, by another thread
    }
  }

  // struct pollfd: the number, what is waited for, what is there.
  const asked = new Int32Array(2 * ASKED_AT_ONCE);
  const askedBytes = new Uint8Array(asked.buffer);

  /** Adds the numbers from `first` on that are open, as many as one call asks for. */
  function addOpen(fds: number[], first: number): void {
    for (let i = 0; i < ASKED_AT_ONCE; i++) {
      asked[2 * i] = first + i;
      asked[2 * i + 1] = 0;
    }
    // It takes no more than the limit of open ones allows, and on macOS no devices; then each is asked alone.
    const isTold = os === "linux" && symbols.poll(askedBytes, ASKED_AT_ONCE, 0) >= 0;
    for (let i = 0; i < ASKED_AT_ONCE; i++) {
      const isOpen = isTold
        ? ((asked[2 * i + 1] as number) >>> 16 & POLLNVAL) === 0
        : libc.isOpen(first + i);
      if (isOpen) fds.push(first + i);
    }
  }

  /** How many numbers the kernel has room for in this process; no open one is beyond. */
  function tableSize(): number | undefined {
    if (os !== "linux") return undefined;
    try {
      const size = /^FDSize:\s*(\d+)$/m.exec(libc.readFile("/proc/self/status"))?.[1];
      return size === undefined ? undefined : Number(size);
    } catch {
      return undefined; // no descriptor is left to read it by
    }
  }

  const libc: Libc = {
    os,
    isNonBlocking: (fd) => (fcntl(fd, F_GETFL, 0) & constants.O_NONBLOCK) !== 0,
    setNonBlocking(fd, on) {
      const flags = fcntl(fd, F_GETFL, 0);
      const wanted = on ? flags | constants.O_NONBLOCK : flags & ~constants.O_NONBLOCK;
      if (wanted !== flags) fcntl(fd, F_SETFL, wanted);
    },
    isCloseOnExec: (fd) => (fcntl(fd, F_GETFD, 0) & FD_CLOEXEC) !== 0,
    setCloseOnExec(fd, on) {
      const flags = fcntl(fd, F_GETFD, 0);
      fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
    },
    // It fails for one reason only.
    isOpen: (fd) => symbols.fcntl(fd, F_GETFD, ...platform.fcntlPadding, 0) >= 0,
    close(fd) {
      check(symbols.close(fd), "close", fd);
    },
    shutdown(fd) {
      check(symbols.shutdown(fd, SHUT_RDWR), "shutdown", fd);
    },
    duplicate: (fd, minimum = 3) => fcntl(fd, constants.F_DUPFD_CLOEXEC, minimum),
    replace(from, onto) {
      // The same number twice is EINVAL for dup3, and nothing to do anyway.
      if (from === onto) return;
      const keep = libc.isCloseOnExec(onto);
      const flags = keep ? constants.O_CLOEXEC : 0;
      for (;;) {
        const more = os === "linux" ? [flags] : []; // dup2 takes no flags
        if (symbols.duplicateOnto(from, onto, ...more) >= 0) break;
        const errno = lastError();
        // EBUSY: another thread is between open and install on that number, dup(2).
        if (errno !== "EINTR" && errno !== "EBUSY") {
          throw new LibcError(errno, "dup", `${from}, ${onto}`);
        }
      }
      if (os !== "linux") libc.setCloseOnExec(onto, keep);
    },
    socket(fd) {
      const number = socketType(fd);
      if (number === undefined && libc.isOpen(fd)) return undefined;
      if (number === undefined) throw new LibcError("EBADF", "getsockopt", String(fd));
      const type = (Object.keys(SOCKET_TYPES) as SocketInfo["type"][])
        .find((name) => SOCKET_TYPES[name] === number);
      const name = socketName(fd);
      const family = familyName(
        constants.SO_DOMAIN === undefined
          ? name.family
          : option(fd, constants.SOL_SOCKET, constants.SO_DOMAIN),
      );
      if (type === undefined || family === undefined) return undefined;
      const info: SocketInfo = {
        family,
        type,
        listening: type !== "datagram" &&
          option(fd, constants.SOL_SOCKET, constants.SO_ACCEPTCONN) !== 0,
        address: decodeName(name.bytes, family),
      };
      if (family !== "inet6") return info;
      return { ...info, v6Only: option(fd, IPPROTO_IPV6, constants.IPV6_V6ONLY) !== 0 };
    },
    peer(fd) {
      const { bytes, family } = socketName(fd, "getpeername");
      return decodeName(bytes, familyName(family) ?? "unix");
    },
    ends(fd) {
      if (socketType(fd) !== SOCKET_TYPES.stream) return undefined;
      const length = rawNameOf(fd, "getsockname");
      if (length === 0) return undefined;
      // The port is at the same place for IPv4 and IPv6; no text is made of the address, which nobody asks for.
      const place = rawFamily() === "unix" ? rawPath(length) : rawView.getUint16(2);
      const other = rawNameOf(fd, "getpeername");
      return { place, peer: other === 0 ? null : decodeRaw(other) };
    },
    quietMs(fd) {
      if (constants.TCP_INFO === undefined) return undefined;
      const info = new Uint8Array(TCP_INFO_SIZE);
      const { bytes } = int32(TCP_INFO_SIZE);
      if (symbols.getsockopt(fd, IPPROTO_TCP, constants.TCP_INFO, info, bytes) < 0) {
        return undefined;
      }
      const view = new DataView(info.buffer);
      if (view.getUint32(TCP_UNACKED, true) > 0) return 0;
      return Math.min(view.getUint32(TCP_LAST_SENT, true), view.getUint32(TCP_LAST_RECEIVED, true));
    },
    isReadable(fd) {
      const request = new DataView(new ArrayBuffer(8)); // struct pollfd
      request.setInt32(0, fd, true);
      request.setInt16(4, POLLIN, true);
      return symbols.poll(new Uint8Array(request.buffer), 1, 0) > 0;
    },
    createSocket(family, type) {
      const number = familyNumber(family);
      const fd = check(symbols.socket(number, SOCKET_TYPES[type], 0), "socket", family);
      libc.setCloseOnExec(fd, true);
      libc.setNonBlocking(fd, true);
      return fd;
    },
    bindAnywhere(fd) {
      const { family } = socketName(fd);
      const bytes = new Uint8Array(28);
      if (layout.sockaddrHasLength) bytes[1] = family;
      else new DataView(bytes.buffer).setUint16(0, family, true);
      let length = 2; // the family alone: the kernel picks an abstract name, unix(7) "Autobind"
      if (family === AF_INET) {
        bytes.set([127, 0, 0, 1], 4);
        length = 16;
      } else if (family === constants.AF_INET6) {
        bytes[23] = 1; // ::1
        length = 28;
      } else {
        linuxOnly("bind");
      }
      if (layout.sockaddrHasLength) bytes[0] = length;
      if (symbols.bind(fd, bytes, length) >= 0) return;
      const errno = lastError();
      if (family !== constants.AF_INET6 || errno !== "EADDRNOTAVAIL") {
        throw new LibcError(errno, "bind", String(fd));
      }
      // IPv6 is compiled in, so that "::" can be bound, but no interface has it: usual in containers.
      bytes.set([0xff, 0xff, 127, 0, 0, 1], 18); // ::ffff:127.0.0.1
      check(symbols.bind(fd, bytes, length), "bind", fd);
    },
    bind(fd, name) {
      const { SOL_SOCKET, SO_REUSEADDR, IPV6_V6ONLY, AF_INET6 } = constants;
      if (!("path" in name)) {
        const set = (level: number, option: number, value: number) =>
          check(symbols.setsockopt(fd, level, option, int32(value).bytes, 4), "setsockopt", fd);
        set(SOL_SOCKET, SO_REUSEADDR, 1);
        if (socketName(fd).family === AF_INET6) set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
      }
      const bytes = encodeName(name, { AF_INET6, hasLength: layout.sockaddrHasLength });
      const detail = "path" in name ? name.path : `${name.hostname}, ${name.port}`;
      check(symbols.bind(fd, bytes, bytes.length), "bind", detail);
    },
    listen(fd, backlog) {
      check(symbols.listen(fd, backlog), "listen", fd);
    },
    openFds() {
      const fds: number[] = [];
      const size = tableSize();
      // The limit may have been lowered while higher numbers were in use, so a gap is not the end.
      const end = () => size ?? (fds.at(-1) ?? 0) + MAX_GAP;
      for (let first = 0; first < end(); first += ASKED_AT_ONCE) addOpen(fds, first);
      return fds;
    },
    readFile: (path) => decoder.decode(readBytes(path)),
    readLink(path) {
      const target = linkBuffer;
      const length = check(symbols.readlink(cString(path), target, LINK_SIZE), "readlink", path);
      return decoder.decode(target.subarray(0, length));
    },
    inode(fd) {
      linuxOnly("readlink");
      const match = /^socket:\[(\d+)\]$/.exec(libc.readLink(`/proc/self/fd/${fd}`));
      return match?.[1] === undefined ? undefined : Number(match[1]);
    },
    writeSync(fd, bytes, timeoutMs = 1000) {
      const deadline = performance.now() + timeoutMs;
      let written = 0;
      while (written < bytes.length) {
        const rest = bytes.subarray(written);
        const count = symbols.write(fd, rest, rest.length);
        if (count >= 0) {
          written += count;
          continue;
        }
        const errno = lastError();
        if (errno === "EINTR") continue;
        if (errno !== "EAGAIN" && errno !== "EWOULDBLOCK") {
          throw new LibcError(errno, "write", String(fd));
        }
        if (!waitWritable(fd, deadline)) break;
      }
      return written;
    },
    sendDatagram(path, bytes) {
      // An abstract name has no end mark: its length counts.
      const name = path.startsWith("\0") ? encoder.encode(path) : cString(path);
      const address = new Uint8Array(2 + name.length);
      if (layout.sockaddrHasLength) address.set([address.length, AF_UNIX]);
      else new DataView(address.buffer).setUint16(0, AF_UNIX, true);
      address.set(name, 2);
      const fd = libc.createSocket("unix", "datagram");
      try {
        check(symbols.connect(fd, address, address.length), "connect", path);
        if (libc.writeSync(fd, bytes) < bytes.length) throw new LibcError("EAGAIN", "write", path);
      } finally {
        libc.close(fd);
      }
    },
    monotonicUsec() {
      const time = new DataView(new ArrayBuffer(16)); // struct timespec
      const bytes = new Uint8Array(time.buffer);
      check(symbols.clockGettime(constants.CLOCK_MONOTONIC, bytes), "clock_gettime", "");
      return time.getBigInt64(0, true) * 1_000_000n + time.getBigInt64(8, true) / 1_000n;
    },
    peerPid(fd) {
      const { level, name, size } = constants.peerPid;
      return option(fd, level, name, size);
    },
    peerUser(fd) {
      const { level, name, size, offset } = constants.peerUser;
      return option(fd, level, name, size, offset) >>> 0;
    },
    deferAccept(fd) {
      if (constants.TCP_DEFER_ACCEPT === undefined) return 0;
      return option(fd, IPPROTO_TCP, constants.TCP_DEFER_ACCEPT);
    },
    setDeferAccept(fd, seconds) {
      if (constants.TCP_DEFER_ACCEPT === undefined) return;
      const { bytes } = int32(seconds);
      const name = constants.TCP_DEFER_ACCEPT;
      check(symbols.setsockopt(fd, IPPROTO_TCP, name, bytes, 4), "setsockopt", fd);
    },
    setCork(fd, on) {
      if (constants.TCP_CORK === undefined) return;
      const { bytes } = int32(Number(on));
      check(symbols.setsockopt(fd, IPPROTO_TCP, constants.TCP_CORK, bytes, 4), "setsockopt", fd);
    },
    epollFds(among) {
      linuxOnly("readlink");
      // Most are sockets, and reading a link takes ten times as long as asking for the type of a socket.
      return among.filter((fd) => socketType(fd) === undefined && isEpoll(fd));
    },
    epollAdd(epoll, fd, event) {
      linuxOnly("epoll_ctl");
      const view = new DataView(new ArrayBuffer(layout.epollEvent.size));
      view.setUint32(0, event.events, true);
      view.setBigUint64(layout.epollEvent.data, event.data, true);
      const bytes = new Uint8Array(view.buffer);
      check(symbols.epollCtl(epoll, EPOLL_CTL_ADD, fd, bytes), "epoll_ctl", `ADD, ${fd}`);
    },
    epollDelete(epoll, fd) {
      linuxOnly("epoll_ctl");
      const ignored = new Uint8Array(layout.epollEvent.size); // not null: Linux before 2.6.9
      check(symbols.epollCtl(epoll, EPOLL_CTL_DEL, fd, ignored), "epoll_ctl", `DEL, ${fd}`);
    },
    becomeSubreaper() {
      linuxOnly("prctl");
      check(symbols.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl", "PR_SET_CHILD_SUBREAPER");
    },
    reap(pid) {
      const { bytes, get } = int32();
      // Nothing of errno is asked for: 0 is a child that runs, and -1 none of ours.
      return symbols.waitpid(pid, bytes, WNOHANG) === pid ? get() : undefined;
    },
  };
  // A binding that swallows errors would make every later answer wrong; find out now. Again, because of the above.
  let errno = "";
  for (let attempt = 0; attempt < 3 && errno !== "EBADF"; attempt++) {
    const probe = symbols.fcntl(-1, F_GETFD, ...platform.fcntlPadding, 0);
    errno = probe === -1 ? lastError() : `result ${probe}`;
  }
  if (errno !== "EBADF") throw new LibcError(errno, "fcntl", "-1");
  return libc;
}
