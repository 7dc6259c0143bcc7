/**
 * Gets at the requests of a server that the runtime makes itself: its `serve` is replaced while the application's
 * function runs that starts the server.
 *
 * @module
 */

import type { NativeRequests } from "./native.ts";

// deno-lint-ignore no-explicit-any -- whatever the runtime takes and returns
type Serve = (...args: any[]) => any;

/** A server that was started, and its requests. */
export interface Caught {
  readonly server: object;
  readonly requests: NativeRequests;
}

/** Calls the runtime's `serve` for the application; `undefined` for a server that is not to be watched. */
export type CatchServe = (serve: Serve, args: readonly unknown[]) => Caught | undefined;

/** One runtime's `serve`. */
export class ServeHook {
  readonly #owner: Record<string, unknown>;
  readonly #catch: CatchServe;
  readonly #requests = new WeakMap<object, NativeRequests>();
  #windows = 0;
  #restore = () => {};

  /**
   * Prepares the replacement.
   *
   * @param owner The runtime's global object, which has `serve`.
   * @param wrap Called instead.
   */
  constructor(owner: object, wrap: CatchServe) {
    this.#owner = owner as Record<string, unknown>;
    this.#catch = wrap;
  }

  /** Servers that are started from now on are caught, until as many calls of `close` have followed. */
  open(): void {
    if (this.#windows++ > 0) return;
    const serve = this.#owner["serve"] as Serve;
    const replaced = (...args: unknown[]): unknown => {
      const caught = this.#catch(serve, args);
      if (caught === undefined) return serve(...args);
      this.#requests.set(caught.server, caught.requests);
      return caught.server;
    };
    try {
      this.#owner["serve"] = replaced;
    } catch {
      return; // A frozen runtime: its connections are waited for.
    }
    this.#restore = () => {
      if (this.#owner["serve"] === replaced) this.#owner["serve"] = serve;
    };
  }

  /** See `open`. */
  close(): void {
    if (--this.#windows === 0) this.#restore();
  }

  /** The requests of what a start function returned: the server, or a framework's instance that holds it. */
  find(started: unknown): NativeRequests | undefined {
    const { server, bun, deno } = (started ?? {}) as Record<string, { server?: unknown } | null>;
    for (const candidate of [started, server, bun?.server, deno?.server]) {
      const isObject = typeof candidate === "object" && candidate !== null;
      const found = isObject ? this.#requests.get(candidate) : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
