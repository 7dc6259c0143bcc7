/**
 * Sockets as a service manager makes them: bound and listening, blocking, and never accepted from by their maker. On
 * Node 26 only, which can call `bind(2)`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import type { Libc } from "../../src/backend/libc/libc.ts";
import { loadLibc } from "../../src/backend/libc/load.ts";
import { bindNode } from "../../src/backend/libc/node.ts";
import { platform } from "../../src/backend/libc/platform.ts";

/** What is to be made. */
export type SocketUnit =
  | { readonly type: "stream" | "datagram"; readonly path: string }
  | { readonly type: "stream" | "datagram"; readonly ipv6?: boolean };

/** A socket that was made; `port` is 0 for a path. */
export interface ManagedSocket {
  readonly fd: number;
  readonly port: number;
}

const described = platform(process.platform, process.arch)!;

function libc(): Libc {
  const result = loadLibc();
  if ("reason" in result) throw new Error(result.reason);
  return result.libc;
}

/** Makes a socket; it lives as long as this process, or until `close`. */
export function openSocket(unit: SocketUnit): ManagedSocket {
  const c = libc();
  const family = "path" in unit ? "unix" : unit.ipv6 ? "inet6" : "inet";
  const fd = c.createSocket(family, unit.type);
  let port = 0;
  if ("path" in unit) {
    const raw = bindNode(described);
    if ("reason" in raw) throw new Error(raw.reason);
    const name = Buffer.concat([Buffer.from([1, 0]), Buffer.from(unit.path), Buffer.from([0])]);
    const result = raw.symbols.bind(fd, new Uint8Array(name), name.length);
    if (result !== 0) throw new Error(`bind(${unit.path}) failed`);
  } else {
    c.bindAnywhere(fd);
    const { address } = c.socket(fd)!;
    port = "port" in address ? address.port : 0;
  }
  if (unit.type === "stream") c.listen(fd, 128);
  // As systemd.exec(5) says of NonBlocking=: off unless asked for.
  c.setNonBlocking(fd, false);
  return { fd, port };
}

/** Whether everybody who shares the socket finds it non-blocking. */
export function isNonBlocking(fd: number): boolean {
  return libc().isNonBlocking(fd);
}

/** Closes the maker's descriptor. */
export function closeSocket(fd: number): void {
  libc().close(fd);
}

/**
 * The command line that starts a program as a service manager does: `LISTEN_PID` is its own process id.
 *
 * @param command What to start.
 * @param names Of the descriptors from 3 on.
 */
export function activated(command: readonly string[], names: readonly string[]): string[] {
  const script = `LISTEN_PID=$$ LISTEN_FDS=${names.length} LISTEN_FDNAMES='${
    names.join(":")
  }' exec "$@"`;
  return ["/bin/sh", "-c", script, "sh", ...command];
}
