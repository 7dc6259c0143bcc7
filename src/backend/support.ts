/**
 * Which servers take over an inherited socket, on which runtime, and how: the one table that the documentation, the
 * texts of errors and the tests read.
 *
 * Of Linux. macOS has no epoll, so there everything is as "without C calls" on Bun and as
 * "without placing" on Deno; none of that was tried.
 *
 * @module
 */

import type { Runtime } from "./backend.ts";

/**
 * How a server gets an inherited socket.
 *
 * - `native`: it takes the descriptor
 * - `transplant`: it is started on a placeholder, and the socket is placed into it while it runs
 * - `fallback`: another server accepts for it
 * - `unsupported`: it serves, and an upgrade fails with `ERR_ADOPT`
 */
export type Way = "native" | "transplant" | "fallback" | "unsupported";

/** Kinds of servers; `native:` ones are the runtime's own. */
export type ServerKind =
  | "node:net"
  | "node:tls"
  | "node:http"
  | "node:https"
  | "node:http2"
  | "node:dgram"
  | "native:http"
  | "native:https"
  | "native:tcp"
  | "native:tls"
  | "native:udp";

/** How it goes where sockets can be placed into running servers, and where not; absent where there is no such server. */
export interface Support {
  readonly placing: Way;
  readonly without: Way;
}

/** One line of the table. */
export interface SupportRow {
  readonly kind: ServerKind;
  /** As its users call it. */
  readonly label: string;
  readonly node?: Support;
  readonly deno?: Support;
  readonly bun?: Support;
}

const NATIVE: Support = { placing: "native", without: "native" };
const PLACED: Support = { placing: "transplant", without: "unsupported" };

/** Every kind of server. Datagram sockets without placing were read in the code and not run. */
export const SUPPORT: readonly SupportRow[] = [
  { kind: "node:net", label: "`node:net`", node: NATIVE, deno: NATIVE, bun: NATIVE },
  { kind: "node:tls", label: "`node:tls`", node: NATIVE, deno: NATIVE, bun: NATIVE },
  {
    kind: "node:http",
    label: "`node:http`, Express, Fastify",
    node: NATIVE,
    deno: NATIVE,
    bun: { placing: "transplant", without: "fallback" },
  },
  { kind: "node:https", label: "`node:https`", node: NATIVE, deno: NATIVE, bun: PLACED },
  { kind: "node:http2", label: "`node:http2`", node: NATIVE, deno: NATIVE, bun: NATIVE },
  { kind: "node:dgram", label: "`node:dgram`", node: NATIVE, deno: PLACED, bun: PLACED },
  { kind: "native:http", label: "`Deno.serve`, `Bun.serve`", deno: PLACED, bun: PLACED },
  { kind: "native:https", label: "the same with TLS", deno: PLACED, bun: PLACED },
  {
    kind: "native:tcp",
    label: "`Deno.listen`, `Bun.listen`",
    deno: PLACED,
    bun: { placing: "native", without: "unsupported" },
  },
  {
    kind: "native:tls",
    label: "`Deno.listenTls`, `Bun.listen` with TLS",
    deno: PLACED,
    bun: { placing: "native", without: "unsupported" },
  },
  {
    kind: "native:udp",
    label: "`Deno.listenDatagram`, `Bun.udpSocket`",
    deno: PLACED,
    bun: PLACED,
  },
];

/**
 * How a server gets an inherited socket.
 *
 * @param runtime Which runtime.
 * @param kind Which server.
 * @param placing Whether sockets can be placed into running servers there.
 * @returns `undefined` when the runtime has no such server.
 */
export function wayOf(runtime: Runtime, kind: ServerKind, placing: boolean): Way | undefined {
  const support = SUPPORT.find((row) => row.kind === kind)?.[runtime];
  return support?.[placing ? "placing" : "without"];
}

/** The servers of `node:` modules that pass a stream socket on where none can be placed into a running server. */
export function alternatives(runtime: Runtime): string {
  const kinds = SUPPORT.map(({ kind }) => kind).filter((kind) =>
    kind !== "node:dgram" && kind.startsWith("node:") &&
    wayOf(runtime, kind, false) !== "unsupported"
  );
  return `${kinds.slice(0, -1).join(", ")} or ${kinds.at(-1)}`;
}
