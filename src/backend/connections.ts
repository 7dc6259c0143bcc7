/**
 * The connections of a server that does not tell them: the sockets of this process that are bound where it listens.
 *
 * An accepted socket has the listener's port or path (`getsockname(2)`); one that this process opened itself has not.
 *
 * @module
 */

import { setTimeout } from "node:timers";
import { type Libc, LibcError, type SocketEnds, type SocketName } from "./libc/libc.ts";
import type { NativeConnections, OpenConnection, SeenConnections } from "./native.ts";
import { socketAt } from "./transplant.ts";

/** One text for the client's end of a connection, whoever tells it: `::ffff:127.0.0.1` is `127.0.0.1`. */
export function connectionKey(hostname: string, port: number): string {
  const bare = hostname.replace(/%.*$/, "").toLowerCase();
  return `${/^::ffff:.*\./.test(bare) ? bare.slice("::ffff:".length) : bare} ${port}`;
}

/** What was found, by the port or path at which it is bound. */
type Places = ReadonlyMap<number | string, SeenConnections>;

// To ask a descriptor takes a few microseconds. Between portions of a walk the event loop has the nine-fold time.
const WALK_MS = 2;
const PAUSE_MS = 18;
/** Descriptors between two looks at the time. */
const STEP = 50;
const NONE: SeenConnections = { open: [], over: 0 };

/** A connection by its client, where it still has one. */
function keyOf(fd: number, { peer }: SocketEnds): string | undefined {
  if (peer === null) return undefined;
  return "port" in peer ? connectionKey(peer.hostname, peer.port) : `descriptor ${fd}`;
}

/** Goes by all descriptors; stops after every few. */
function* steps(libc: Libc): Generator<undefined, Places> {
  const places = new Map<number | string, { open: OpenConnection[]; over: number }>();
  let passed = 0;
  for (const fd of libc.openFds()) {
    if (++passed % STEP === 0) yield;
    const ends = libc.ends(fd);
    if (ends === undefined) continue;
    const key = keyOf(fd, ends);
    if (key === undefined && socketAt(libc, fd)?.listening !== false) continue;
    let found = places.get(ends.place);
    if (found === undefined) places.set(ends.place, found = { open: [], over: 0 });
    if (key === undefined) found.over += 1;
    else found.open.push({ fd, key });
  }
  return places;
}

/** The walks by the descriptors of a process: one does for all listeners that ask in the same turn of the event loop. */
class Walks {
  readonly #libc: Libc;
  #now: Places | undefined;
  #next: Promise<Places> | undefined;
  /** Settled when no walk with pauses is under way. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** In one go, however long it takes. */
  now(): Places {
    if (this.#now !== undefined) return this.#now;
    queueMicrotask(() => this.#now = undefined);
    const walk = steps(this.#libc);
    for (;;) {
      const { done, value } = walk.next();
      if (done === true) return this.#now = value;
    }
  }

  /** With pauses. It begins after everybody has asked: one that is under way has passed some by. */
  next(): Promise<Places> {
    if (this.#next === undefined) {
      this.#next = this.#last.then(() => {
        this.#next = undefined;
        return this.#walk();
      });
      this.#last = this.#next.catch(() => {});
    }
    return this.#next;
  }

  async #walk(): Promise<Places> {
    const walk = steps(this.#libc);
    for (;;) {
      const until = performance.now() + WALK_MS;
      do {
        const { done, value } = walk.next();
        if (done === true) return value;
      } while (performance.now() < until);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

const walks = new WeakMap<Libc, Walks>();

/**
 * Watches the connections of a listening socket.
 *
 * @param libc The C library.
 * @param kernel Where the socket is bound, as the kernel says.
 */
export function openConnections(libc: Libc, kernel: SocketName): NativeConnections {
  const here = "port" in kernel ? kernel.port : kernel.path;
  const walk = walks.get(libc) ?? new Walks(libc);
  walks.set(libc, walk);

  /** `undefined` for a connection that is gone: the runtime closes it from another thread, or the client just now. */
  const asked = <T>(ask: () => T): T | undefined => {
    try {
      return ask();
    } catch (error) {
      if (error instanceof LibcError) return undefined;
      throw error;
    }
  };
  return {
    now: () => walk.now().get(here) ?? NONE,
    look: async () => (await walk.next()).get(here) ?? NONE,
    quietMs: ({ fd, key }) => key.startsWith("descriptor") ? undefined : libc.quietMs(fd),
    hold: ({ fd }, on) => void asked(() => libc.setCork(fd, on)),
    hasUnread: ({ fd }) => asked(() => libc.isReadable(fd)) ?? true,
    close({ fd, key }) {
      // The number may be another connection's by now.
      const ends = libc.ends(fd);
      if (ends?.place === here && keyOf(fd, ends) === key) asked(() => libc.shutdown(fd));
    },
  };
}
