/**
 * Where a socket that somebody else opened is bound, by calls to the C library.
 *
 * @module
 */

import type { BoundAddress } from "../address.ts";
import type { Libc, SocketInfo } from "./libc/libc.ts";

/**
 * What {@linkcode SocketInfo} says, in the words of the core.
 *
 * @param socket A socket of any kind.
 * @returns Where it is bound.
 */
export function boundAddress(socket: SocketInfo): BoundAddress {
  const { address } = socket;
  if ("path" in address) return { kind: "unix", path: address.path };
  const kind = socket.type === "datagram" ? "udp" : "tcp";
  return { kind, hostname: address.hostname, port: address.port };
}

/**
 * Where a descriptor listens or receives.
 *
 * @param libc The C library.
 * @param fd Any number.
 * @returns `undefined` when it does neither, or is a socket that no server can be made of.
 */
export function boundByLibc(libc: Libc, fd: number): BoundAddress | undefined {
  const socket = libc.isOpen(fd) ? libc.socket(fd) : undefined;
  if (socket === undefined) return undefined;
  const serves = socket.type === "stream"
    ? socket.listening
    : socket.type === "datagram" && socket.family !== "unix";
  return serves ? boundAddress(socket) : undefined;
}
