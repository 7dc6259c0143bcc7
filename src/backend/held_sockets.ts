/**
 * Listening sockets that this process holds and never accepts from: for `changeover run --listen`.
 *
 * What is held stays open when the process that serves it crashes: connections wait in the kernel's queue until the
 * next one takes the socket. No runtime can make a listening socket without accepting from it, so they are made by C
 * calls; where Node can make none, it binds a handle without listening, and a short-lived second Node makes it listen.
 * The state belongs to the socket, which both share.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { lookup } from "node:dns/promises";
import { lstatSync, unlinkSync } from "node:fs";
import * as net from "node:net";
import { isIP } from "node:net";
import { getSystemErrorName } from "node:util";
import process from "node:process";
import { type Address, type BoundAddress, formatAddress } from "../address.ts";
import { UpgradeError } from "../errors.ts";
import type { Libc } from "./libc/libc.ts";
import { loadLibc } from "./libc/load.ts";
import { bindError } from "./node_server.ts";
import { boundAddress } from "./bound_libc.ts";
import { checkUnixPath, publishUnixPath, temporaryUnixPath } from "./unix_path.ts";

/** A socket that is held. */
export interface HeldSocket {
  /** Its descriptor. */
  readonly fd: number;
  /** Where it is bound. */
  readonly bound: BoundAddress;
  /** Lets go of it; the path of a Unix socket is removed if it still is this one's. */
  close(): void;
}

/** As many as the kernel lets wait (net.core.somaxconn): nobody accepts while a crashed service is started again. */
const BACKLOG = 4096;
// Away from the numbers at which a child finds them: Deno puts one after the other in place, and so would overwrite
// what is still to be passed.
const LOWEST_FD = 64;

/** Where to bind: the IP address, or the path under its first name. */
type Place = { readonly hostname: string; readonly port: number } | { readonly path: string };

interface OpenSocket {
  readonly fd: number;
  readonly bound: BoundAddress;
  close(): void;
}

/**
 * Binds an address and holds the socket.
 *
 * @param address TCP or Unix.
 * @returns The socket, in listening state.
 * @throws {UpgradeError} `ERR_ADDRESS`
 */
export async function holdSocket(address: Address): Promise<HeldSocket> {
  const result = loadLibc();
  const open = "libc" in result
    ? (place: Place) => openByLibc(result.libc, place)
    : process.release.name === "node" && !("bun" in process.versions)
    ? openByNode
    : undefined;
  if (open === undefined) {
    const why = "reason" in result ? result.reason : "";
    throw new UpgradeError("ERR_ADDRESS", `Cannot listen on ${formatAddress(address)}: ${why}`);
  }
  if (address.kind === "unix") return await holdPath(address.path, address, open);
  let error: unknown;
  for (const hostname of await hostnames(address)) {
    try {
      return open({ hostname, port: address.port });
    } catch (reason) {
      error = reason;
      // Every address is meant, and this machine has no IPv6.
      if (!["EAFNOSUPPORT", "EADDRNOTAVAIL"].includes((reason as { code?: string }).code ?? "")) {
        break;
      }
    }
  }
  throw bindError(address, error);
}

async function hostnames(address: Exclude<Address, { kind: "unix" }>): Promise<readonly string[]> {
  const { hostname } = address;
  if (hostname === undefined) return ["::", "0.0.0.0"];
  if (isIP(hostname) !== 0) return [hostname];
  try {
    return [(await lookup(hostname)).address];
  } catch (error) {
    throw bindError(address, error);
  }
}

async function holdPath(
  path: string,
  address: Address,
  open: (place: Place) => OpenSocket,
): Promise<HeldSocket> {
  await checkUnixPath(path);
  const temporary = temporaryUnixPath(path);
  let socket: OpenSocket;
  try {
    socket = open({ path: temporary });
    publishUnixPath(temporary, path);
  } catch (error) {
    throw bindError(address, error);
  }
  const file = fileAt(path);
  return {
    fd: socket.fd,
    bound: { kind: "unix", path },
    close() {
      socket.close();
      try {
        if (file !== undefined && fileAt(path) === file) unlinkSync(path);
      } catch {
        // Its folder is gone, or is not ours any more: nothing listens there.
      }
    },
  };
}

function fileAt(path: string): string | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false, bigint: true });
  return stats?.isSocket() ? `${stats.dev}:${stats.ino}` : undefined;
}

function openByLibc(libc: Libc, place: Place): OpenSocket {
  const family = "path" in place ? "unix" : isIP(place.hostname) === 4 ? "inet" : "inet6";
  const low = libc.createSocket(family, "stream");
  let fd: number;
  try {
    fd = libc.duplicate(low, LOWEST_FD);
  } finally {
    libc.close(low);
  }
  try {
    libc.bind(fd, place);
    libc.listen(fd, BACKLOG);
    const socket = libc.socket(fd);
    if (socket === undefined) throw new Error("the kernel does not tell where it is bound");
    return { fd, bound: boundAddress(socket), close: () => libc.close(fd) };
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** What Node's cluster module binds the sockets of its workers with. */
interface NodeHandle {
  readonly fd: number;
  close(): void;
  getsockname?(into: { address?: string; port?: number }): number;
}
type CreateHandle = (address: string, port: number, type: number) => NodeHandle | number;

const LISTEN =
  `require("net").createServer().listen({ fd: 3, backlog: ${BACKLOG} }); process.exit()`;

function openByNode(place: Place): OpenSocket {
  const create = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle;
  const handle = "path" in place
    ? create(place.path, -1, -1)
    : create(place.hostname, place.port, isIP(place.hostname));
  if (typeof handle === "number") throw systemError(handle);
  // It is gone before its event loop has turned, so that it accepts nothing.
  const { status, error } = spawnSync(process.execPath, ["-e", LISTEN], {
    env: {},
    stdio: ["ignore", "ignore", "ignore", handle.fd],
    timeout: 30_000,
  });
  if (status !== 0) {
    handle.close();
    throw error ?? systemError(-98); // EADDRINUSE: bind lets it pass until somebody listens
  }
  const close = () => handle.close();
  if ("path" in place) return { fd: handle.fd, bound: { kind: "unix", path: place.path }, close };
  const name: { address?: string; port?: number } = {};
  handle.getsockname?.(name);
  const { address: hostname = place.hostname, port = place.port } = name;
  return { fd: handle.fd, bound: { kind: "tcp", hostname, port }, close };
}

function systemError(number: number): Error {
  const code = getSystemErrorName(number);
  return Object.assign(new Error(code), { code });
}
