/**
 * Servers that the runtime made itself (`Bun.serve`, `Deno.serve`) where no socket can be placed into them: without Linux
 * or without the C library. They serve like any other, but they take over no socket.
 *
 * Nothing pauses them and nothing counts their connections; their own graceful stop is all there is.
 *
 * @module
 */

import { type Address, type BoundAddress, formatAddress } from "../address.ts";
import { UpgradeError } from "../errors.ts";
import type { Listener, Runtime } from "./backend.ts";
import { alternatives } from "./support.ts";

/** What is used of them; each has some. */
interface Told {
  /** `Bun.serve` and `Bun.listen`. */
  readonly port?: unknown;
  readonly hostname?: unknown;
  /** `Deno.serve` and `Deno.listen`. */
  readonly addr?: { readonly port?: unknown; readonly hostname?: unknown };
  stop?(): unknown;
  shutdown?(): unknown;
  close?(): unknown;
}

/** Where a server says that it is bound; the path of a Unix socket is taken for granted. */
function told(server: Told, address: Address): BoundAddress | undefined {
  if (address.kind === "unix") return { kind: "unix", path: address.path };
  const { port, hostname } = server.addr ?? server;
  return typeof port === "number" && typeof hostname === "string"
    ? { kind: "tcp", hostname, port }
    : undefined;
}

/**
 * The listener of a server that was started on its own address.
 *
 * @param server What the user's function returned.
 * @param address Where it was told to listen.
 * @param runtime On which runtime.
 * @param end Ends the server at once.
 * @returns The listener; `undefined` when this is no such server.
 */
export function stayingListener(
  server: unknown,
  address: Address,
  runtime: Runtime,
  end: (server: unknown) => void,
): Listener | undefined {
  const own = (server ?? {}) as Told;
  const stop = own.stop ?? own.shutdown ?? own.close;
  const bound = told(own, address);
  if (typeof stop !== "function" || bound === undefined) return undefined;
  let isStopping = false;
  let finished = false;
  return {
    server,
    stays: instead(runtime),
    // Also where it could be found: only by its graceful stop would it cease to accept, and that cuts connections.
    fd: -1,
    bound,
    open: () => Promise.resolve(),
    close() {
      if (isStopping || finished) return;
      isStopping = true;
      const over = () => void (isStopping = false);
      Promise.resolve(stop.call(server)).then(over, over);
    },
    // One stands for all that its graceful stop waits for.
    connections: () => isStopping ? 1 : 0,
    cut() {
      const left = isStopping ? 1 : 0;
      isStopping = false;
      end(server);
      return left;
    },
    finish() {
      if (finished) return;
      finished = true;
      end(server);
    },
  };
}

/** Why such a server is not replaced, and what is instead. */
export function instead(runtime: Runtime): string {
  return "for servers of this kind that works on Linux, with calls to the C library; " +
    `use a server of ${alternatives(runtime)} here`;
}

/** Refuses what would need a socket to be placed into a running server. */
export function cannotPlace(address: Address | BoundAddress, runtime: Runtime): UpgradeError {
  return new UpgradeError(
    "ERR_ADOPT",
    `Cannot take over ${formatAddress(address)}: this server cannot take the inherited socket; ${
      instead(runtime)
    }`,
  );
}

/** Refuses what would need to take a socket away from a running server, and to give it back. */
export function cannotPause(runtime: Runtime): UpgradeError {
  return new UpgradeError(
    "ERR_UNSUPPORTED",
    `Cannot pause the servers: on ${runtime} that works on Linux, with calls to the C library; use parallel upgrades here`,
  );
}
