/**
 * Placing an inherited socket into a running server (Linux).
 *
 * `Bun.serve`, `Deno.serve` and others take no descriptor. They are started on a placeholder; then the number of their
 * listening socket is made to refer to the inherited one (dup2(2)), and the event loop's registration is made
 * anew with the very same data. The runtime accepts from the inherited socket and never knows.
 *
 * @module
 */

import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatAddress } from "../address.ts";
import { comparableHostname } from "../hostname.ts";
import type { ListenAt } from "./backend.ts";
import { boundAddress } from "./bound_libc.ts";
import { type Libc, LibcError, type SocketInfo } from "./libc/libc.ts";
import {
  doubt,
  forget,
  pause,
  type Paused,
  registeredNumber,
  type Registration,
  registrations,
  resume,
  socketInode,
  unregister,
} from "./libc/registrations.ts";
import { temporaryUnixPath } from "./unix_path.ts";

export { boundAddress, pause, type Paused, type Registration, registrations, resume };

/** Which sockets existed at a moment. */
export interface SocketSnapshot {
  /** Their inodes: numbers are given away again, inodes are not while a socket lives. */
  readonly inodes: ReadonlySet<number>;
  /** The numbers that come next: a new descriptor gets the lowest one that is free (open(2)). */
  readonly free: readonly number[];
}

/** A socket that is looked for; what is left out may be anything. */
export interface ExpectedSocket {
  /** `"stream"` means a listening one. */
  readonly type: "stream" | "datagram";
  /** Host name; only an IP address is compared, in any spelling. */
  readonly hostname?: string;
  /** Port; 0 is any. */
  readonly port?: number;
  /** Port that the server itself tells: other sockets may have been opened while it started. */
  readonly told?: number | undefined;
  /** Path of a Unix socket, as it was bound (a later rename does not count). */
  readonly path?: string;
}

/** A socket that was found. */
export interface FoundSocket {
  /** Its number in this process. */
  readonly fd: number;
  /** Identifies it across processes. */
  readonly inode: number;
  /** What the kernel knows of it. */
  readonly socket: SocketInfo;
}

/** A server's descriptor that refers to the inherited socket and does not accept yet. */
export interface Transplanted extends FoundSocket {
  /** For `resume`. */
  readonly paused: Paused;
  /**
   * `TCP_DEFER_ACCEPT` of the placeholder, in seconds: what this runtime wants. The inherited socket keeps the one of
   * its first generation (Bun's HTTP servers set 1, all others 0), and with 1 a server that speaks first hears of
   * a connection a second late. Set it with `setDeferAccept` when the socket is this process's alone to decide.
   */
  readonly deferAccept: number;
}

/** Where to start a server whose socket is going to be replaced. */
export interface Placeholder {
  /** For the server's start. */
  readonly at: ListenAt;
  /** Removes the temporary path; does nothing for ports. */
  remove(): void;
}

/** Longest wait for a runtime that registers in a later turn of its loop. */
const REGISTRATION_TIMEOUT_MS = 2000;

/**
 * Remembers which sockets this process has. Take it right before a server is started.
 *
 * @param libc The C library.
 * @returns For `findSocket`.
 */
export function snapshot(libc: Libc): SocketSnapshot {
  const free = freeNumbers(libc);
  const last = recent.get(libc);
  if (last !== undefined && last.inodes.size >= MANY && performance.now() < last.untilMs) {
    return { inodes: new Set(last.inodes), free };
  }
  const inodes = new Set(sockets(libc).values());
  recent.set(libc, { inodes: new Set(inodes), untilMs: performance.now() + RECENT_MS });
  return { inodes, free };
}

/**
 * Where this many sockets are open, servers are started by the hundred, and asking for every socket before each of them
 * would make their cost grow with the square of their number (10 ms of CPU time with a thousand). Then a snapshot of a
 * moment ago does, to which every server that was found is added.
 */
const MANY = 64;
const RECENT_MS = 100;
const recent = new WeakMap<
  Libc,
  { readonly inodes: Set<number>; readonly untilMs: number }
>();

/** Whoever starts a server opens some other descriptors with it. */
const NEXT_NUMBERS = 16;

/** The next numbers that are closed now. */
function freeNumbers(libc: Libc): number[] {
  const open = [2, 1, 0].find((fd) => libc.isOpen(fd));
  if (open === undefined) return [];
  const lowest = libc.duplicate(open);
  libc.close(lowest);
  return Array.from({ length: NEXT_NUMBERS }, (_, index) => lowest + index)
    .filter((fd) => !libc.isOpen(fd));
}

/**
 * What the kernel knows of a descriptor that another thread may be closing.
 *
 * @param libc The C library.
 * @param fd A number that was open a moment ago.
 * @returns `undefined` when it is closed or no socket.
 */
export function socketAt(libc: Libc, fd: number): SocketInfo | undefined {
  // Most often it is closed, and to make an error takes a hundred times as long as to ask.
  if (!libc.isOpen(fd)) return undefined;
  try {
    return libc.socket(fd);
  } catch (error) {
    if (error instanceof LibcError) return undefined;
    throw error;
  }
}

/** All sockets of this process: descriptor to inode. */
function sockets(libc: Libc): Map<number, number> {
  const found = new Map<number, number>();
  for (const fd of libc.openFds()) {
    try {
      const inode = libc.inode(fd);
      if (inode !== undefined) found.set(fd, inode);
    } catch {
      // Closed meanwhile, by another thread of the runtime.
    }
  }
  return found;
}

/**
 * Finds the one socket that a server has opened since a snapshot.
 *
 * @param libc The C library.
 * @param before Taken before the server was started.
 * @param expected What the server was told.
 * @returns Its descriptor and what the kernel says of it.
 * @throws {UpgradeError} `ERR_ADOPT` when there is none or more than one; the message lists what was seen.
 */
export function findSocket(
  libc: Libc,
  before: SocketSnapshot,
  expected: ExpectedSocket,
): FoundSocket {
  return findNear(libc, before, expected) ?? findAnywhere(libc, before, expected);
}

/** A socket at a number is that of a started server of the expected type. */
function candidate(
  libc: Libc,
  fd: number,
  { type }: ExpectedSocket,
): SocketInfo | undefined {
  const socket = socketAt(libc, fd);
  return socket?.type === type && (type === "datagram" || socket.listening) ? socket : undefined;
}

/**
 * Looks only at the numbers that were the next ones, for what can be nothing else: a socket that was opened since, on the
 * port that the server tells or the path that it was told.
 *
 * @param libc The C library.
 * @param before Taken before the server was started.
 * @param expected What the server was told.
 * @returns `undefined` when it is not there: look everywhere.
 */
export function findNear(
  libc: Libc,
  before: SocketSnapshot,
  expected: ExpectedSocket,
): FoundSocket | undefined {
  if (expected.told === undefined && expected.path === undefined) return undefined;
  const near = before.free.flatMap((fd): FoundSocket[] => {
    const socket = candidate(libc, fd, expected);
    if (socket === undefined || !matches(socket, expected)) return [];
    if (expected.told !== undefined && portOf(socket) !== expected.told) return [];
    try {
      const inode = libc.inode(fd);
      return inode === undefined || before.inodes.has(inode) ? [] : [{ fd, inode, socket }];
    } catch {
      return []; // Closed meanwhile, by another thread of the runtime.
    }
  });
  const [first, ...others] = near;
  if (first === undefined || others.some(({ inode }) => inode !== first.inode)) return undefined;
  recent.get(libc)?.inodes.add(first.inode);
  return theRegistered(libc, near) ?? first;
}

/** Two numbers for one socket: the one that the event loop knows is the server's. */
function theRegistered(libc: Libc, found: readonly FoundSocket[]): FoundSocket | undefined {
  return found.find(({ fd }) => registrations(libc, fd).length > 0);
}

function findAnywhere(
  libc: Libc,
  before: SocketSnapshot,
  expected: ExpectedSocket,
): FoundSocket {
  const fresh: FoundSocket[] = [];
  for (const [fd, inode] of sockets(libc)) {
    if (before.inodes.has(inode)) continue;
    const socket = candidate(libc, fd, expected);
    if (socket !== undefined) fresh.push({ fd, inode, socket });
  }
  // A port that no socket has is something else that is called "port".
  const told = fresh.filter(({ socket }) => portOf(socket) === expected.told);
  const candidates = expected.told !== undefined && told.length > 0 ? told : fresh;
  const matching = candidates.filter(({ socket }) => matches(socket, expected));
  const [first, ...others] = matching;
  const seen = fresh.map(({ fd, socket }) => `${formatAddress(boundAddress(socket))} (fd ${fd})`)
    .join(", ") || "none";
  if (first === undefined) {
    throw doubt(`no new ${expected.type} socket is bound where it was expected; new are: ${seen}`);
  }
  if (others.some(({ inode }) => inode !== first.inode)) {
    throw doubt(`more than one new ${expected.type} socket fits; new are: ${seen}`);
  }
  recent.get(libc)?.inodes.add(first.inode);
  return theRegistered(libc, matching) ?? first;
}

/**
 * Finds the descriptor by which a server listens on the inherited socket already: `Bun.listen` takes `fd`.
 *
 * @param libc The C library.
 * @param inherited The inherited descriptor.
 * @returns That number or a duplicate of it; `undefined` when the event loop waits for none.
 */
export function findTaken(libc: Libc, inherited: number): number | undefined {
  return registeredNumber(libc, socketInode(libc, inherited));
}

function portOf({ address }: SocketInfo): number | undefined {
  return "port" in address ? address.port : undefined;
}

function matches(socket: SocketInfo, expected: ExpectedSocket): boolean {
  const { address } = socket;
  if ("path" in address) return expected.path === undefined || expected.path === address.path;
  if (expected.path !== undefined) return false;
  if (expected.port !== undefined && expected.port !== 0 && expected.port !== address.port) {
    return false;
  }
  if (expected.hostname === undefined || !/^[0-9.]+$|:/.test(expected.hostname)) return true;
  return plain(expected.hostname) === plain(address.hostname);
}

/** Without the zone, which the kernel tells by number and users by name. */
function plain(hostname: string): string {
  return comparableHostname(hostname.replace(/%.*$/, ""));
}

/**
 * Chooses where to start a server that cannot take a descriptor.
 *
 * The family must be that of the inherited socket, because the runtime decodes the peer's address accordingly.
 *
 * @param libc The C library, to find out which address of loopback can be bound.
 * @param socket The inherited socket.
 * @returns Loopback with a port of the system's choice, or a temporary path.
 */
export function placeholder(libc: Libc, socket: SocketInfo): Placeholder {
  if (socket.family === "unix") {
    const path = temporaryUnixPath(join(tmpdir(), "changeover"));
    return { at: { path, unix: path }, remove: () => rmSync(path, { force: true }) };
  }
  const hostname = loopback(libc, socket.family);
  return { at: { port: 0, hostname, host: hostname }, remove: () => {} };
}

/** An address on loopback that can be bound; not every machine that has "::" has "::1". */
function loopback(libc: Libc, family: SocketInfo["family"]): string {
  if (family === "inet") return "127.0.0.1";
  const decoy = openDecoy(libc, { family, type: "stream" });
  try {
    const { address } = socketInfo(libc, decoy);
    return "hostname" in address ? address.hostname : "";
  } finally {
    libc.close(decoy);
  }
}

/**
 * Opens a socket of the same kind on which nothing arrives: to be put under a number that must stay valid.
 *
 * It listens, because a runtime that still calls `accept` then sees `EAGAIN` and no error.
 *
 * @param libc The C library.
 * @param like What it should be like.
 * @returns Its descriptor; whoever calls this closes it.
 */
export function openDecoy(libc: Libc, like: Pick<SocketInfo, "family" | "type">): number {
  const fd = libc.createSocket(like.family, like.type);
  try {
    libc.bindAnywhere(fd);
    if (like.type !== "datagram") libc.listen(fd, 1);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  return fd;
}

function socketInfo(libc: Libc, fd: number): SocketInfo {
  socketInode(libc, fd); // says so when it is closed or no socket
  const socket = libc.socket(fd);
  if (socket === undefined) throw doubt(`descriptor ${fd} is of an unknown family`);
  return socket;
}

function describe(socket: SocketInfo): string {
  const state = socket.type === "stream" && !socket.listening ? " that does not listen" : "";
  return `${socket.family} ${socket.type} socket${state}`;
}

/**
 * Makes a server that runs on a placeholder accept from the inherited socket, as soon as `resume` is called.
 *
 * The placeholder's socket is closed; connections that somebody made to it are reset. On success the inherited number is
 * closed, too: the server's descriptor now is this process's reference to the socket, and the server owns it. When it
 * throws, the caller still owns the inherited number.
 *
 * @param libc The C library.
 * @param onto The server's descriptor, registered with the event loop.
 * @param inherited The inherited descriptor; may be `onto` itself when the server took it.
 * @returns The server's descriptor, paused.
 * @throws {UpgradeError} `ERR_ADOPT` on any doubt.
 */
export function transplant(libc: Libc, onto: number, inherited: number): Transplanted {
  const wanted = socketInfo(libc, inherited);
  const inode = socketInode(libc, inherited);
  const present = socketInfo(libc, onto);
  if (wanted.family !== present.family || wanted.type !== present.type) {
    throw doubt(`the server has an ${describe(present)}, inherited is an ${describe(wanted)}`);
  }
  if (wanted.type === "stream" && !wanted.listening) {
    throw doubt(`inherited is an ${describe(wanted)}`);
  }
  // Out before the number changes: afterwards nothing could name the placeholder's registration.
  const { registrations: taken } = pause(libc, onto);
  const deferAccept = present.family === "unix" || present.type !== "stream"
    ? 0
    : libc.deferAccept(onto);
  // Shared with the parent, and Deno's spawn clears it: accept() would block this whole process.
  libc.setNonBlocking(inherited, true);
  if (onto !== inherited) libc.replace(inherited, onto);
  libc.setCloseOnExec(onto, true);
  const socket = socketInfo(libc, onto);
  if (socketInode(libc, onto) !== inode || !sameName(socket, wanted)) {
    const [seen, expected] = [socket, wanted].map((it) => formatAddress(boundAddress(it)));
    throw doubt(`descriptor ${onto} is bound to ${seen} afterwards instead of ${expected}`);
  }
  if (onto !== inherited) libc.close(inherited);
  const paused = { fd: onto, inode, registrations: taken };
  return { fd: onto, inode, socket, paused, deferAccept };
}

function sameName(a: SocketInfo, b: SocketInfo): boolean {
  return formatAddress(boundAddress(a)) === formatAddress(boundAddress(b));
}

/**
 * Pauses a listening socket that the runtime is going to register in a later turn of its loop (Node).
 *
 * A plain `pause` would come too early, and one turn later connections would have been accepted: the loop registers and
 * polls in one go (`uv__io_poll` in libuv). So the number refers to a decoy for the turn in which it is registered.
 * Call it before the loop turns; until it resolves, the descriptor does not name the real socket.
 *
 * @param libc The C library.
 * @param fd The listening socket.
 * @returns The socket, paused.
 * @throws {UpgradeError} `ERR_ADOPT` when it is not registered within two seconds; it then is as it was.
 */
export async function pauseBeforeRegistration(libc: Libc, fd: number): Promise<Paused> {
  if (registrations(libc, fd).length > 0) return pause(libc, fd);
  const socket = socketInfo(libc, fd);
  const inode = socketInode(libc, fd);
  const real = libc.duplicate(fd);
  try {
    const decoy = openDecoy(libc, socket);
    const decoyInode = socketInode(libc, decoy);
    libc.replace(decoy, fd);
    libc.close(decoy);
    // Whatever comes of it, the number is put right below.
    await registered(libc, fd).catch(() => {});
    if (socketInode(libc, fd) !== decoyInode) {
      throw doubt(`descriptor ${fd} was given to another socket meanwhile`);
    }
    const { registrations: taken } = unregister(libc, fd);
    libc.replace(real, fd);
    if (taken.length > 0) return { fd, inode, registrations: taken };
  } finally {
    libc.close(real);
  }
  throw doubt(`the event loop does not wait for descriptor ${fd}`);
}

/**
 * Waits until the event loop waits for a socket.
 *
 * @param libc The C library.
 * @param fd The socket.
 * @throws {UpgradeError} `ERR_ADOPT` when that does not happen within two seconds.
 */
export async function registered(libc: Libc, fd: number): Promise<void> {
  const deadline = performance.now() + REGISTRATION_TIMEOUT_MS;
  while (registrations(libc, fd).length === 0) {
    if (performance.now() > deadline) {
      throw doubt(`the event loop does not wait for descriptor ${fd}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** A listening socket that its server does not have for a while. */
export interface SocketAside {
  /** Its other number. */
  readonly fd: number;
  /** The server has it back, and accepts what waited. */
  putBack(): void;
  /** The server does not get it back. */
  letGo(): void;
}

/**
 * Takes a listening socket away from a server that accepts from it.
 *
 * Its number refers to a decoy meanwhile: a plain {@linkcode pause} would be followed by whatever the runtime is in the
 * middle of accepting.
 *
 * @param libc The C library.
 * @param fd The server's descriptor.
 * @returns The socket, under another number.
 * @throws {UpgradeError} `ERR_ADOPT` when the event loop does not wait for it; nothing has changed then.
 */
export function setAside(libc: Libc, fd: number): SocketAside {
  const socket = socketInfo(libc, fd);
  const real = libc.duplicate(fd);
  let paused: Paused | undefined;
  try {
    const decoy = openDecoy(libc, socket);
    try {
      paused = pause(libc, fd);
      libc.replace(decoy, fd);
    } finally {
      libc.close(decoy);
    }
  } catch (error) {
    if (paused !== undefined) resume(libc, paused);
    libc.close(real);
    throw error;
  }
  const taken = paused;
  return {
    fd: real,
    putBack() {
      libc.replace(real, fd);
      libc.setCloseOnExec(fd, true);
      libc.close(real);
      resume(libc, taken);
    },
    letGo: () => libc.close(real),
  };
}

/**
 * Gives up a listening socket for good, while the runtime believes that it still has it.
 *
 * Nothing of the socket remains in this process: its registration is out, and the number refers to a decoy until the
 * server's own stop closes that. Open connections are left alone. Without this a draining process would keep the
 * port listening after its successor died, and connections would wait in a queue that nobody serves.
 *
 * A datagram socket is only taken out, because answers are still to be sent from it.
 *
 * @param libc The C library.
 * @param fd The server's descriptor, paused or not.
 * @throws {UpgradeError} `ERR_ADOPT` when `fd` is not an open socket.
 */
export function retire(libc: Libc, fd: number): void {
  const socket = socketInfo(libc, fd);
  forget(libc, fd);
  if (socket.type === "datagram") return;
  const decoy = openDecoy(libc, socket);
  try {
    libc.replace(decoy, fd);
  } finally {
    libc.close(decoy);
  }
}
