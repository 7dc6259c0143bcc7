/**
 * What the event loop waits for on a descriptor: reading it, taking it out, putting it back (Linux).
 *
 * A runtime accepts connections because its listening socket is registered in an epoll instance. Taking the
 * registration out makes it stop without knowing; connections then wait in the kernel's accept queue. Putting it back
 * reports at once what has queued up meanwhile, for edge-triggered registrations too: `EPOLL_CTL_ADD` checks the
 * readiness of the file (`ep_insert` in fs/eventpoll.c).
 *
 * A registration belongs to the open file description and the number under which it was added (epoll(7), question 6),
 * so it outlives the number when another process shares the socket. Nothing here ever lets go of a number
 * before its registration is out.
 *
 * @module
 */

import { UpgradeError } from "../../errors.ts";
import { type Libc, LibcError } from "./libc.ts";

/** One registration of a descriptor. */
export interface Registration {
  /** The epoll instance. Two descriptors may stand for one instance, as in Deno. */
  readonly epoll: number;
  /** The registered number. */
  readonly fd: number;
  /** Inode of the file that was registered under the number. */
  readonly inode: number;
  /** Event mask, with the `EPOLLERR` and `EPOLLHUP` that the kernel adds. */
  readonly events: number;
  /** The runtime's own sixty-four bits. */
  readonly data: bigint;
}

/** A descriptor whose registrations were taken out. */
export interface Paused {
  /** The number. */
  readonly fd: number;
  /** Inode of the socket that it refers to. */
  readonly inode: number;
  /** What has to be put back. */
  readonly registrations: readonly Registration[];
}

const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;
/** `ep_show_fdinfo` in fs/eventpoll.c; `tfd` is decimal, all else hexadecimal. */
const LINE = /^tfd:\s*(\d+)\s+events:\s*([0-9a-f]+)\s+data:\s*([0-9a-f]+)\s.*\bino:\s*([0-9a-f]+)/;

/**
 * Refuses an adoption.
 *
 * @param why What was seen.
 * @param cause The error that led to it.
 * @returns The error to throw.
 */
export function doubt(why: string, cause?: unknown): UpgradeError {
  return new UpgradeError("ERR_ADOPT", `Cannot take over the socket: ${why}`, { cause });
}

/**
 * The inode of an open socket.
 *
 * @param libc The C library.
 * @param fd A descriptor.
 * @returns Its inode.
 * @throws {UpgradeError} `ERR_ADOPT` when it is not open or no socket.
 */
export function socketInode(libc: Libc, fd: number): number {
  let inode: number | undefined;
  try {
    inode = libc.inode(fd);
  } catch (cause) {
    throw doubt(`descriptor ${fd} is not open`, cause);
  }
  if (inode === undefined) throw doubt(`descriptor ${fd} is not a socket`);
  return inode;
}

/**
 * The epoll instances of this process.
 *
 * @param libc The C library.
 * @returns Their descriptors; Deno has two for one instance.
 */
export function epollFds(libc: Libc): number[] {
  const epolls = libc.epollFds(libc.openFds());
  recent.set(libc, { epolls, untilMs: performance.now() + RECENT_MS });
  return epolls;
}

/**
 * To ask every descriptor whether it is an epoll instance takes 3 ms of CPU time where a thousand are open, and one
 * `listen` wants to know five times. Event loops come and go with threads, and so not in the middle of that.
 */
const RECENT_MS = 100;
const recent = new WeakMap<Libc, { readonly epolls: number[]; readonly untilMs: number }>();

/** Asks the epoll instances of a moment ago; when they give nothing, those of now. */
function inEpolls<T>(libc: Libc, ask: (epolls: readonly number[]) => readonly T[]): readonly T[] {
  const known = recent.get(libc);
  if (known !== undefined && performance.now() < known.untilMs) {
    const found = ask(known.epolls);
    if (found.length > 0) return found;
  }
  return ask(epollFds(libc));
}

/**
 * Reads the text of `/proc/<pid>/fdinfo/<epoll descriptor>` (proc_pid_fdinfo(5)).
 *
 * @param text Its content.
 * @param epoll The descriptor that it is about.
 * @returns All registrations in it.
 */
export function parseFdinfo(text: string, epoll: number): Registration[] {
  const found: Registration[] = [];
  for (const line of text.split("\n")) {
    const [, fd, events, data, inode] = LINE.exec(line) ?? [];
    if (fd === undefined || events === undefined || data === undefined || inode === undefined) {
      continue;
    }
    found.push({
      epoll,
      fd: Number(fd),
      inode: parseInt(inode, 16),
      events: parseInt(events, 16),
      data: BigInt(`0x${data}`),
    });
  }
  return found;
}

function fdinfo(libc: Libc, epoll: number): string {
  try {
    return libc.readFile(`/proc/self/fdinfo/${epoll}`);
  } catch (error) {
    // The event loop of another thread, which has ended meanwhile.
    if (libc.epollFds([epoll]).length === 0) return "";
    throw error;
  }
}

function registrationsIn(libc: Libc, epoll: number, fd: number, inode: number): Registration[] {
  const lines = fdinfo(libc, epoll).split("\n").filter((line) => line.includes(` ${fd} events:`))
    .join("\n");
  // The number alone does not do: after dup2 an old file may still be registered under it.
  return parseFdinfo(lines, epoll).filter((it) => it.fd === fd && it.inode === inode);
}

/**
 * What the event loop waits for on a socket.
 *
 * @param libc The C library.
 * @param fd The socket.
 * @returns Its registrations; one that can be reached by two epoll descriptors is there twice.
 * @throws {UpgradeError} `ERR_ADOPT` when `fd` is not an open socket.
 */
export function registrations(libc: Libc, fd: number): Registration[] {
  const inode = socketInode(libc, fd);
  const found = inEpolls(
    libc,
    (epolls) => epolls.flatMap((epoll) => registrationsIn(libc, epoll, fd, inode)),
  );
  return [...found];
}

/**
 * The number by which the event loop waits for a socket.
 *
 * @param libc The C library.
 * @param inode The socket's inode.
 * @returns A descriptor of it; `undefined` when it waits by none.
 */
export function registeredNumber(libc: Libc, inode: number): number | undefined {
  const [first] = inEpolls(
    libc,
    (epolls) =>
      epolls.flatMap((epoll) =>
        fdinfo(libc, epoll).split("\n")
          .flatMap((line) => parseFdinfo(line, epoll))
      )
        // A number can be closed, or another's, while the file is registered under it.
        .filter((it) => it.inode === inode && refersTo(libc, it.fd, inode)),
  );
  return first?.fd;
}

function refersTo(libc: Libc, fd: number, inode: number): boolean {
  try {
    return libc.inode(fd) === inode;
  } catch {
    return false;
  }
}

/**
 * Takes a socket out of every epoll instance. The runtime does not notice.
 *
 * A runtime that is in the middle of accepting goes on until the queue is empty: Bun accepts in a loop, Deno keeps the
 * readiness it was told. A pause that is made in a callback may so be followed by connections that were waiting at that
 * moment (300 of 300 were accepted in a test; all are served). Only a number that refers to something else stops that.
 *
 * @param libc The C library.
 * @param fd The socket.
 * @returns What to put back; without registrations when there were none.
 * @throws {UpgradeError} `ERR_ADOPT` when `fd` is not an open socket.
 */
export function unregister(libc: Libc, fd: number): Paused {
  const inode = socketInode(libc, fd);
  const taken = inEpolls(libc, (epolls) =>
    epolls.flatMap((epoll) => {
      // Read again for each: a second descriptor of the same instance no longer shows what is out.
      const registered = registrationsIn(libc, epoll, fd, inode);
      for (const _ of registered) libc.epollDelete(epoll, fd);
      return registered;
    }));
  return { fd, inode, registrations: taken };
}

/**
 * Takes a socket out of the event loop for good. Does not read what is registered, which takes the longer the more
 * sockets there are.
 *
 * @param libc The C library.
 * @param fd The socket.
 */
export function forget(libc: Libc, fd: number): void {
  // An event loop is older than its sockets: it is found among the first numbers.
  for (const epoll of libc.openFds()) {
    if (libc.epollFds([epoll]).length > 0 && deleted(libc, epoll, fd)) return;
  }
}

function deleted(libc: Libc, epoll: number, fd: number): boolean {
  try {
    libc.epollDelete(epoll, fd);
    return true;
  } catch (error) {
    // Not registered there; or the event loop of another thread, which has ended meanwhile.
    if (error instanceof LibcError && NOT_THERE.has(error.errno)) return false;
    throw error;
  }
}

/** epoll_ctl(2): not registered, not open, not an epoll instance any more. */
const NOT_THERE: ReadonlySet<string> = new Set(["ENOENT", "EBADF", "EINVAL", "EPERM"]);

/**
 * Stops accepting from a socket, until {@linkcode resume}.
 *
 * @param libc The C library.
 * @param fd A socket that the runtime has registered.
 * @returns What `resume` needs.
 * @throws {UpgradeError} `ERR_ADOPT` when it is not registered: Node registers in the next turn of its loop.
 */
export function pause(libc: Libc, fd: number): Paused {
  const paused = unregister(libc, fd);
  if (paused.registrations.length > 0) return paused;
  throw doubt(`the event loop does not wait for descriptor ${fd}`);
}

/** Where a registration that was put back was seen to be the one that was taken out. */
const proven = new WeakSet<Libc>();

/**
 * Puts back what {@linkcode pause} took out: the runtime accepts again, first of all what waited.
 *
 * @param libc The C library.
 * @param paused From `pause` or a transplant.
 * @throws {UpgradeError} `ERR_ADOPT` when the number refers to something else by now, or when the registrations are
 * not found afterwards.
 */
export function resume(libc: Libc, paused: Paused): void {
  const { fd, inode } = paused;
  const now = socketInode(libc, fd);
  if (now !== inode) throw doubt(`descriptor ${fd} refers to socket ${now} instead of ${inode}`);
  for (const { epoll, events, data } of paused.registrations) {
    try {
      libc.epollAdd(epoll, fd, { events, data });
    } catch (cause) {
      throw doubt(`descriptor ${fd} cannot be registered again`, cause);
    }
    // What may be wrong is how this machine lays out the structure; the kernel itself is believed.
    if (proven.has(libc)) continue;
    const seen = registrationsIn(libc, epoll, fd, inode);
    const expected = (events | EPOLLERR | EPOLLHUP) >>> 0;
    if (!seen.some((it) => it.events === expected && it.data === data)) {
      const found = seen.map((it) => `events ${it.events.toString(16)}`).join() || "nothing";
      throw doubt(`the registration of descriptor ${fd} is not there afterwards, but ${found}`);
    }
    proven.add(libc);
  }
}
