/**
 * What stands between a runtime's server and the user's functions: failures become answers.
 *
 * @module
 */

import type { Runtime } from "../backend/backend.ts";
import { comparableHostname } from "../hostname.ts";
import type { Upgrader } from "../upgrader.ts";
import type { ServeHandler, ServeInfo, ServeOptions } from "./types.ts";

/** The client's end of a connection. */
export interface Peer {
  readonly hostname: string | undefined;
  readonly port: number | undefined;
}

/** The client's end of a connection is looked up only when it is asked for. */
export class RequestInfo<S> implements ServeInfo<S> {
  readonly upgrader: Upgrader;
  readonly server: S;
  readonly #peer: () => Peer | undefined;

  constructor(upgrader: Upgrader, server: S, peer: () => Peer | undefined) {
    this.upgrader = upgrader;
    this.server = server;
    this.#peer = peer;
  }

  get remoteAddress(): string | undefined {
    const hostname = this.#peer()?.hostname;
    return hostname === undefined ? undefined : comparableHostname(hostname);
  }

  get remotePort(): number | undefined {
    return this.#peer()?.port;
  }
}

/** Where failures are told. */
export type Report = (message: string) => void;

/**
 * The user's `fetch`, which now never throws and never rejects.
 *
 * @param options Its `fetch` and `onError`.
 * @param runtime On Bun, `undefined` says that a WebSocket has taken over.
 * @param report Is told what failed.
 */
export function guarded<S>(
  { fetch, onError }: Pick<ServeOptions<S>, "fetch" | "onError">,
  runtime: Runtime,
  report: Report,
): ServeHandler<S> {
  const check = (response: unknown): Response | undefined => {
    if (isResponse(response) || (response === undefined && runtime === "bun")) return response;
    throw new TypeError(`fetch answered with ${String(response)}, which is no Response`);
  };

  const fail = async (error: unknown, request: Request): Promise<Response> => {
    try {
      const response: unknown = await onError?.(error, request);
      if (isResponse(response)) return response;
      if (onError !== undefined) {
        report(`onError answered with ${String(response)}, which is no Response`);
      }
    } catch (second) {
      report(`onError failed: ${describe(second)}`);
    }
    // When the client has gone, what was under way fails for that reason. On Deno the signal does not tell: it also aborts
    // after answers, and to look at it prints a warning.
    const isGone = runtime !== "deno" && request.signal.aborted;
    if (!isGone) report(`fetch failed: ${describe(error)}`);
    return new Response("Internal Server Error", { status: 500 });
  };

  return (request, info) => {
    try {
      const response = fetch(request, info);
      if (typeof (response as { then?: unknown } | undefined)?.then !== "function") {
        return check(response);
      }
      return Promise.resolve(response).then(check).catch((error) => fail(error, request));
    } catch (error) {
      return fail(error, request);
    }
  };
}

/** By its looks: frameworks bring Response classes of their own. */
function isResponse(value: unknown): value is Response {
  const { status, headers } = (value ?? {}) as { status?: unknown; headers?: unknown };
  return typeof status === "number" && typeof headers === "object";
}

function describe(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
