/**
 * The requests of `Bun.serve`.
 *
 * Nothing is on the way of a request until the drain begins: then the server is reloaded with handlers that are wrapped.
 * Bun counts the requests that it is answering; of those that came earlier only the number is known.
 *
 * @module
 */

import { connectionKey } from "./connections.ts";
import { instead } from "./instead.ts";
import type { LeaveTaking, NativeRequests, NativeWebSocket, OpenRequests } from "./native.ts";
import { type Caught, ServeHook } from "./serve_hooks.ts";

// deno-lint-ignore no-explicit-any -- the application's functions, whatever they take
type Handler = (this: unknown, ...args: any[]) => unknown;
type Route = Handler | Response | Record<string, unknown> | false;

/** What is used of a `ServerWebSocket`. */
interface BunWebSocket {
  readonly readyState: number;
  cork<T>(write: () => T): T;
  isSubscribed(topic: string): boolean;
  close(code: number, reason: string): void;
}

/** How a message is sent on it. */
const SENDS = ["send", "sendText", "sendBinary"] as const;

interface WebSocketHandlers {
  readonly open?: Handler;
  readonly close?: Handler;
}

/** What is used of the options of `Bun.serve`. */
interface BunOptions {
  readonly fetch?: Handler;
  readonly error?: Handler;
  readonly routes?: Record<string, Route>;
  readonly websocket?: WebSocketHandlers;
}

/** What is used of a server. */
interface BunServer {
  readonly pendingRequests: number;
  readonly pendingWebSockets: number;
  requestIP(request: Request): { readonly address: string; readonly port: number } | null;
  upgrade(request: Request, ...rest: unknown[]): boolean;
  publish(topic: string, ...rest: unknown[]): number;
  /** Since Bun 1.4. */
  closeIdleConnections?(): number;
  reload(options: BunOptions): unknown;
}

class BunRequests implements NativeRequests {
  readonly #sockets = new Map<BunWebSocket, string | undefined>();
  /** Those on which the next message is waited for. */
  readonly #armed = new Map<BunWebSocket, () => void>();
  /** Requests that came since the drain began, and whose they are. */
  #known = new Map<Request, string>();
  #options: BunOptions;
  #server: BunServer | undefined;
  #reload: ((options: BunOptions) => unknown) | undefined;
  #leave: LeaveTaking | undefined;
  /** Of the handshake under way: Bun calls `open` before `upgrade` returns. */
  #upgrading: string | undefined;
  #before = 0;
  #came = 0;

  /** @param options As the application gave them; none when it could not be seen how the server was started. */
  constructor(options: BunOptions) {
    this.#options = options;
  }

  /** The options to start the server with. */
  get options(): BunOptions {
    const { websocket } = this.#options;
    return websocket === undefined ? this.#options : {
      ...this.#options,
      websocket: this.#webSocket(websocket),
    };
  }

  /** The server has been started. */
  attach(server: BunServer): void {
    this.#server = server;
    const { reload, upgrade, publish } = server;
    this.#reload = reload.bind(server);
    // The application may exchange its handlers at any time.
    server.reload = (options) => {
      this.#options = { ...this.#options, ...options };
      return this.#reload?.(this.#leave === undefined ? this.options : this.#wrapped(this.#leave));
    };
    server.publish = (topic, ...rest) => {
      const subscribers = [...this.#armed.keys()].filter((socket) => socket.isSubscribed(topic));
      const published = publish.call(server, topic, ...rest);
      // Bun holds it back until something else is sent.
      for (const socket of subscribers) socket.cork(() => this.#spoken(socket));
      return published;
    };
    server.upgrade = (request, ...rest) => {
      this.#upgrading = this.#keyOf(request);
      try {
        return upgrade.call(server, request, ...rest);
      } finally {
        this.#upgrading = undefined;
      }
    };
  }

  #webSocket(own: WebSocketHandlers): WebSocketHandlers {
    const sockets = this.#sockets;
    const opened = (socket: BunWebSocket) => sockets.set(socket, this.#upgrading);
    return {
      ...own,
      open(this: unknown, socket: BunWebSocket) {
        opened(socket);
        return own.open?.call(this, socket);
      },
      close(this: unknown, socket: BunWebSocket, ...rest: unknown[]) {
        sockets.delete(socket);
        return own.close?.call(this, socket, ...rest);
      },
    };
  }

  /** `null` when the request was answered already, and for Unix sockets. */
  #keyOf(request: Request): string | undefined {
    const peer = this.#server?.requestIP(request) ?? undefined;
    return peer === undefined ? undefined : connectionKey(peer.address, peer.port);
  }

  open(): OpenRequests {
    const { pendingRequests, pendingWebSockets } = this.#server as BunServer;
    for (const request of this.#known.keys()) {
      if (this.#server?.requestIP(request) === null) this.#known.delete(request);
    }
    const keys = new Set(this.#known.values());
    let sockets = 0;
    for (const key of this.#sockets.values()) {
      if (key === undefined) continue;
      keys.add(key);
      sockets += 1;
    }
    const unknown = pendingRequests - this.#known.size + Math.max(0, pendingWebSockets - sockets);
    return { keys, unknown: Math.max(0, unknown) };
  }

  answered(): number {
    return Math.max(0, this.#before + this.#came - (this.#server as BunServer).pendingRequests);
  }

  *webSockets(): Iterable<NativeWebSocket> {
    for (const [socket, key] of this.#sockets) {
      yield {
        id: socket,
        key,
        sendsApart: false,
        onNextMessage: (then) => this.#onNextMessage(socket, then),
        close: (code, reason) => {
          this.#sockets.delete(socket);
          this.#armed.delete(socket);
          socket.close(code, reason);
        },
        get isOpen() {
          return socket.readyState === 1;
        },
      };
    }
  }

  /** What is sent within `cork` leaves with one call; in a handler of messages everything is. */
  #onNextMessage(socket: BunWebSocket, then: () => void): void {
    this.#armed.set(socket, then);
    instead(socket as never, SENDS, (send) =>
      socket.cork(() => {
        const sent = send();
        // 0: dropped, the application may try again. Less: it waits in Bun's buffer, and so will what follows.
        if (sent === 0) this.#onNextMessage(socket, then);
        else this.#spoken(socket);
        return sent;
      }));
  }

  #spoken(socket: BunWebSocket): void {
    const then = this.#armed.get(socket);
    this.#armed.delete(socket);
    then?.();
  }

  closeIdle(): void {
    this.#server?.closeIdleConnections?.();
  }

  begin(leave: LeaveTaking): void {
    this.#before = (this.#server as BunServer).pendingRequests;
    this.#came = 0;
    this.#leave = leave;
    if (Object.keys(this.#options).length > 0) this.#reload?.(this.#wrapped(leave));
  }

  end(): void {
    this.#leave = undefined;
    this.#known.clear();
    if (Object.keys(this.#options).length > 0) this.#reload?.(this.options);
  }

  #wrapped(leave: LeaveTaking): BunOptions {
    const { options } = this;
    const { fetch, error, routes } = options;
    return {
      ...options,
      ...(fetch === undefined ? {} : { fetch: this.#handler(fetch, leave) }),
      ...(error === undefined ? {} : { error: parting(error, leave) }),
      ...(routes === undefined ? {} : { routes: this.#routes(routes, leave) }),
    };
  }

  #routes(routes: Record<string, unknown>, leave: LeaveTaking): Record<string, Route> {
    return Object.fromEntries(
      Object.entries(routes).map(([path, route]) => [path, this.#route(route, leave)]),
    );
  }

  /** A handler, a response, one of those for each method; or a page that Bun bundles, which remains as it is. */
  #route(route: unknown, leave: LeaveTaking): Route {
    if (typeof route === "function") return this.#handler(route as Handler, leave);
    if (route instanceof Response) return this.#handler(() => route.clone(), leave);
    const isPlain = Object.getPrototypeOf(route ?? 0) === Object.prototype;
    const methods = isPlain && Object.keys(route as object).every((key) => /^[A-Z]+$/.test(key));
    return methods ? this.#routes(route as Record<string, unknown>, leave) : route as Route;
  }

  #handler(own: Handler, leave: LeaveTaking): Handler {
    const came = (request: Request): string | undefined => {
      const key = this.#keyOf(request);
      this.#came += 1;
      if (key !== undefined) this.#known.set(request, key);
      return key;
    };
    return function (this: unknown, request: Request, ...rest: unknown[]): unknown {
      const key = came(request);
      return left(own.call(this, request, ...rest), key, leave);
    };
  }
}

/** A handler whose request is not known. */
function parting(own: Handler, leave: LeaveTaking): Handler {
  return function (this: unknown, ...args: unknown[]): unknown {
    return left(own.apply(this, args), undefined, leave);
  };
}

function left(response: unknown, key: string | undefined, leave: LeaveTaking): unknown {
  if (response instanceof Promise) return response.then((later) => left(later, key, leave));
  // Nothing is returned once a WebSocket has taken over.
  return response instanceof Response ? leave(response, key) : response;
}

/** Bun's own `node:http` calls it too, with options that are nobody else's business. */
function isApplication(options: unknown): options is BunOptions {
  const { fetch, routes } = (options ?? {}) as BunOptions;
  return (fetch !== undefined || routes !== undefined) && !("onNodeHTTPRequest" in Object(options));
}

/**
 * Catches the servers that `Bun.serve` starts.
 *
 * @param bun The global object of the runtime.
 */
export function hookBunServe(bun: object): ServeHook {
  return new ServeHook(bun, (serve, [options, ...rest]): Caught | undefined => {
    if (!isApplication(options)) return undefined;
    const requests = new BunRequests(options);
    const server = serve(requests.options, ...rest);
    requests.attach(server);
    return { server, requests };
  });
}

/** The requests of a server that was not caught (`import { serve } from "bun"`): they are counted, and told nothing. */
export function uncaughtBunServe(server: unknown): NativeRequests | undefined {
  const candidate = server as BunServer | null | undefined;
  if (typeof candidate?.pendingRequests !== "number") return undefined;
  const requests = new BunRequests({});
  requests.attach(candidate);
  return requests;
}
