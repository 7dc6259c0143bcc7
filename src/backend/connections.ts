/**
 * The connections of a server that does not tell them: the sockets of this process that are bound where it listens.
 *
 * An accepted socket has the listener's port or path (`getsockname(2)`); one that this process opened itself has not.
 *
 * @module
 */

import type { Listener } from "./backend.ts";
import { type Libc, LibcError, type SocketInfo } from "./libc/libc.ts";
import type { OpenConnection } from "./native.ts";
import { socketAt } from "./transplant.ts";

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
  const find = () =>
    libc.openFds().filter((fd) => {
      const socket = socketAt(libc, fd);
      if (socket?.type !== "stream" || socket.listening) return false;
      const { address } = socket;
      return "path" in kernel
        ? "path" in address && address.path === kernel.path
        : "port" in address && address.port === kernel.port;
    });
  /** `undefined` for a connection that is gone: the runtime closes it from another thread, or the client just now. */
  const asked = <T>(ask: () => T): T | undefined => {
    try {
      return ask();
    } catch (error) {
      if (error instanceof LibcError) return undefined;
      throw error;
    }
  };
  /** A connection that has ended has no other end; its owner is about to close it. */
  const keyOf = (fd: number): string | undefined => {
    const peer = asked(() => libc.peer(fd));
    if (peer === undefined) return undefined;
    return "port" in peer ? connectionKey(peer.hostname, peer.port) : `descriptor ${fd}`;
  };
  const close = ({ fd, key }: OpenConnection) => {
    // The number may be another connection's by now.
    if (keyOf(fd) === key) asked(() => libc.shutdown(fd));
  };
  return {
    connections: () => find().length,
    cut() {
      const left = find();
      for (const fd of left) asked(() => libc.shutdown(fd));
      return left.length;
    },
    sockets: {
      look: () =>
        find().flatMap((fd) => {
          const key = keyOf(fd);
          return key === undefined ? [] : { fd, key };
        }),
      quietMs: ({ fd, key }) => key.startsWith("descriptor") ? undefined : libc.quietMs(fd),
      hasUnread: ({ fd }) => asked(() => libc.isReadable(fd)) ?? true,
      close,
    },
  };
}
