/**
 * The connections of a server that does not tell them: the sockets of this process that are bound where it listens.
 *
 * An accepted socket has the listener's port or path (`getsockname(2)`); one that this process opened itself has not.
 *
 * @module
 */

import type { Listener } from "./backend.ts";
import { type Libc, LibcError, type SocketInfo, type SocketName } from "./libc/libc.ts";
import type { OpenConnection } from "./native.ts";
import { socketAt } from "./transplant.ts";

/** A connection that was seen. */
interface Known {
  readonly connection: OpenConnection;
  /** Its other end, as the kernel writes it. */
  readonly peer: Uint8Array;
}

/** One text for the client's end of a connection, whoever tells it: `::ffff:127.0.0.1` is `127.0.0.1`. */
export function connectionKey(hostname: string, port: number): string {
  const bare = hostname.replace(/%.*$/, "").toLowerCase();
  return `${/^::ffff:.*\./.test(bare) ? bare.slice("::ffff:".length) : bare} ${port}`;
}

/**
 * Watches the connections of a listening socket.
 *
 * @param libc The C library.
 * @param kernel Where the socket is bound, as the kernel says.
 */
export function openConnections(
  libc: Libc,
  kernel: SocketInfo["address"],
): Required<Pick<Listener, "connections" | "cut" | "sockets">> {
  const known = new Map<number, Known>();
  const raw = new Uint8Array(128);

  const keyOf = (fd: number, peer: SocketName) =>
    "port" in peer ? connectionKey(peer.hostname, peer.port) : `descriptor ${fd}`;

  /** Of a connection that is known already only the other end is compared: its number may be another one's by now. */
  const isStill = (fd: number, { peer }: Known): boolean => {
    const length = libc.peerBytes(fd, raw);
    if (length !== peer.length) return false;
    for (let i = 0; i < length; i++) if (raw[i] !== peer[i]) return false;
    return true;
  };

  /** All sockets that are bound here; those that have no other end are over, and their owner is about to close them. */
  const find = (): { readonly open: OpenConnection[]; readonly over: number[] } => {
    const open: OpenConnection[] = [];
    const over: number[] = [];
    const seen = new Set<number>();
    for (const fd of libc.openFds()) {
      const before = known.get(fd);
      if (before !== undefined && isStill(fd, before)) {
        seen.add(fd);
        open.push(before.connection);
        continue;
      }
      const peer = libc.connectionAt(fd, kernel);
      if (peer === undefined) continue;
      const length = peer === null ? 0 : libc.peerBytes(fd, raw);
      if (peer === null || length === 0) {
        if (socketAt(libc, fd)?.listening === false) over.push(fd);
        continue;
      }
      const connection = { fd, key: keyOf(fd, peer) };
      known.set(fd, { peer: raw.slice(0, length), connection });
      seen.add(fd);
      open.push(connection);
    }
    if (known.size > seen.size) {
      for (const fd of known.keys()) {
        if (!seen.has(fd)) known.delete(fd);
      }
    }
    return { open, over };
  };

  /** `undefined` for a connection that is gone: the runtime closes it from another thread, or the client just now. */
  const asked = <T>(ask: () => T): T | undefined => {
    try {
      return ask();
    } catch (error) {
      if (error instanceof LibcError) return undefined;
      throw error;
    }
  };
  const close = ({ fd, key }: OpenConnection) => {
    // The number may be another connection's by now.
    const now = known.get(fd);
    if (now?.connection.key === key && isStill(fd, now)) asked(() => libc.shutdown(fd));
  };
  return {
    connections() {
      const { open, over } = find();
      return open.length + over.length;
    },
    cut() {
      const { open, over } = find();
      for (const { fd } of open) asked(() => libc.shutdown(fd));
      return open.length + over.length;
    },
    sockets: {
      look: () => find().open,
      quietMs: ({ fd, key }) => key.startsWith("descriptor") ? undefined : libc.quietMs(fd),
      hasUnread: ({ fd }) => asked(() => libc.isReadable(fd)) ?? true,
      close,
    },
  };
}
