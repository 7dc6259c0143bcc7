/**
 * Where a socket is bound, from the kernel's tables in `/proc/net` (proc_pid_net(5)): for runtimes that tell only the
 * servers that they made themselves, without calls to the C library.
 *
 * @module
 */

import { readFileSync, readlinkSync } from "node:fs";
import type { BoundAddress } from "../address.ts";
import { canonicalHostname } from "../hostname.ts";

const TCP_LISTEN = "0A";
const SO_ACCEPTCON = 0x10000; // __SO_ACCEPTCON of linux/net.h
const SOCK_STREAM = "0001";

/** What the tables say: an address, something else (`"other"`), or nothing. */
export type Found = BoundAddress | "other" | undefined;

/** `0100007F:1F90`: each 32-bit word of the address in the byte order of the machine, which is little-endian here. */
function internet(kind: "tcp" | "udp", text: string): BoundAddress {
  const [address = "", port = ""] = text.split(":");
  const bytes = (address.match(/.{8}/g) ?? []).flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16))
  );
  if (bytes.length === 4) {
    return { kind, hostname: bytes.join("."), port: Number.parseInt(port, 16) };
  }
  const words = Array.from(
    { length: 8 },
    (_, index) => (((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0)).toString(16),
  );
  return { kind, hostname: canonicalHostname(words.join(":")), port: Number.parseInt(port, 16) };
}

/** Looks an inode up in the table of TCP or UDP sockets. */
export function parseInternet(kind: "tcp" | "udp", table: string, inode: string): Found {
  for (const line of table.split("\n")) {
    const fields = line.trim().split(/\s+/);
    if (fields[9] !== inode) continue;
    if (kind === "tcp" && fields[3] !== TCP_LISTEN) return "other";
    return internet(kind, fields[1] ?? "");
  }
  return undefined;
}

/** Looks an inode up in the table of Unix sockets. */
export function parseUnix(table: string, inode: string): Found {
  const row = unixRow(table, inode);
  if (row === undefined) return undefined;
  if (!row.stream || !row.listening) return "other";
  // The table writes the NUL before an abstract name as "@".
  return { kind: "unix", path: row.path.replace(/^@/, "\0") };
}

function unixRow(
  table: string,
  inode: string,
): { readonly stream: boolean; readonly listening: boolean; readonly path: string } | undefined {
  for (const line of table.split("\n")) {
    const [, flags = "", type, found, path = ""] =
      /^\S+: \S+ \S+ (\S+) (\S+) \S+ +(\d+)(?: (.*))?$/.exec(line) ?? [];
    if (found !== inode) continue;
    const listening = (Number.parseInt(flags, 16) & SO_ACCEPTCON) !== 0;
    return { stream: type === SOCK_STREAM, listening, path };
  }
  return undefined;
}

/**
 * Finds out where a descriptor listens or receives.
 *
 * @param fd A descriptor of this process.
 * @returns `"other"` when it does neither; `undefined` when the kernel does not tell: there is no `/proc`, or the socket
 * was bound in another network namespace.
 */
export function boundInProc(fd: number): Found {
  try {
    const inode = socketInode(fd);
    if (inode === undefined) return "other";
    for (const kind of ["tcp", "tcp6", "udp", "udp6", "unix"]) {
      const table = readTable(kind);
      const found = kind === "unix"
        ? parseUnix(table, inode)
        : parseInternet(kind.startsWith("tcp") ? "tcp" : "udp", table, inode);
      if (found !== undefined) return found;
    }
  } catch {
    // Closed, or no /proc.
  }
  return undefined;
}

/**
 * Whether a descriptor is a Unix stream socket that does not listen, as both ends of a socket pair are.
 *
 * @param fd A socket of this process.
 * @returns `undefined` when the kernel does not tell, as above.
 */
export function mayBePairInProc(fd: number): boolean | undefined {
  try {
    const row = unixRow(readTable("unix"), socketInode(fd) ?? "");
    if (row !== undefined) return row.stream && !row.listening;
    return boundInProc(fd) === undefined ? undefined : false;
  } catch {
    return undefined;
  }
}

function socketInode(fd: number): string | undefined {
  return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
}

/** A kernel without IPv6 has no table for it. */
function readTable(kind: string): string {
  try {
    return readFileSync(`/proc/self/net/${kind}`, "utf8");
  } catch {
    return "";
  }
}
