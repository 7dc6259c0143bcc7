/**
 * What a user of `serve` writes and gets.
 *
 * @module
 */

import type { AddressInput } from "../address.ts";
import type { DrainReport } from "../drain/drain.ts";
import type { UpgraderOptions } from "../options.ts";
import type { SocketAddress } from "../sockets.ts";
import type { Upgrader } from "../upgrader.ts";

/** What is known of a request besides the request; the same on every runtime. */
export interface ServeInfo<S = unknown> {
  /**
   * IP address of the client, IPv4 also where the socket is dual-stack; `undefined` on a Unix socket, and once the client
   * has gone.
   */
  readonly remoteAddress: string | undefined;
  /** Port of the client; `undefined` as `remoteAddress`. */
  readonly remotePort: number | undefined;
  /** The upgrader. The first requests can come before `serve` has returned it. */
  readonly upgrader: Upgrader;
  /** The runtime's own server, for example to call `info.server.upgrade(request)` on Bun. */
  readonly server: S;
}

/** Answers a request. Only Bun may be given `undefined`, after `info.server.upgrade(request)`. */
export type ServeHandler<S = unknown> = (
  request: Request,
  info: ServeInfo<S>,
) => Response | undefined | Promise<Response | undefined>;

/** A certificate and its key, in PEM. */
export interface ServeTls {
  /** The certificate, followed by those between it and the root. */
  readonly cert: string | Uint8Array;
  /** Its private key, not encrypted. */
  readonly key: string | Uint8Array;
}

/** Options of {@linkcode serve}: where to listen, what to answer, and all of `Upgrader.create`. */
export interface ServeOptions<S = unknown> extends UpgraderOptions {
  /** TCP port; 0 lets the system choose, and wants a `name` to be kept by the successors. */
  readonly port?: number;
  /** Address to bind. @default {every address, dual-stack} */
  readonly hostname?: string;
  /** Path of a Unix socket, instead of a port. */
  readonly path?: string;
  /** Identifies the socket across generations. @default {the address} */
  readonly name?: string;
  /** All of the above in one, as `Upgrader.listen` takes it: `":8080"`, `"unix:/run/app.sock"`. */
  readonly address?: AddressInput;
  /** Answers requests. */
  readonly fetch: ServeHandler<S>;
  /** Serves HTTPS. Not on a Unix socket on Deno. @default {HTTP} */
  readonly tls?: ServeTls;
  /** Bun's `websocket` handlers, passed on as they are; on Bun only. @default {none} */
  readonly websocket?: object;
  /** Further options for `Bun.serve`, `Deno.serve` or `node:http`, passed on as they are. @default {none} */
  readonly serverOptions?: object;
  /** Called once in each generation, when it accepts. */
  readonly onListen?: (address: SocketAddress) => void;
  /**
   * Answers a request whose `fetch` failed.
   *
   * @default {a line for the `logger`, unless the client has gone, and an answer with status 500}
   */
  readonly onError?: (error: unknown, request: Request) => Response | Promise<Response>;
}

/** How a generation ended. */
export interface ServeEnd {
  /** `"upgraded"`: a successor serves; `"stopped"`: nobody does. */
  readonly reason: "upgraded" | "stopped";
  /** What became of the open connections. */
  readonly drain: DrainReport;
}

/** What {@linkcode serve} returns. */
export interface Served<S = unknown> {
  /** The upgrader of this process. */
  readonly upgrader: Upgrader;
  /** The runtime's own server: that of `Bun.serve`, `Deno.serve`, `node:http` or `node:https`. */
  readonly server: S;
  /** Resolves when this process may leave; without anything else to do it ends then. */
  readonly finished: Promise<ServeEnd>;
}
