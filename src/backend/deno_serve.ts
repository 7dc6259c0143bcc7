/**
 * The requests of `Deno.serve`.
 *
 * Deno tells nothing of what it is answering, so the handler is wrapped from the start: each request is in a list until
 * Deno says that its response was sent, which costs some tenths of a microsecond.
 *
 * @module
 */

import { connectionKey } from "./connections.ts";
import { instead } from "./instead.ts";
import type { LeaveTaking, NativeRequests, NativeWebSocket, OpenRequests } from "./native.ts";
import { type Caught, ServeHook } from "./serve_hooks.ts";

/** What is used of `Deno.ServeHandlerInfo`. */
interface Info {
  readonly remoteAddr: { readonly hostname?: string; readonly port?: number };
  /** Settled when the response was sent, or could not be. */
  readonly completed: Promise<void>;
}

type Handler = (request: Request, info: Info) => Response | Promise<Response>;

/** What is used of the runtime. */
interface DenoGlobal {
  upgradeWebSocket(request: Request, ...rest: unknown[]): { readonly socket: WebSocket };
}

/** A request that is being answered, in a doubly linked list: most of them live for microseconds. */
interface Entry {
  readonly request: Request;
  readonly info: Info;
  previous: Entry | undefined;
  next: Entry | undefined;
}

function keyOf({ info }: Entry): string | undefined {
  try {
    const { hostname, port } = info.remoteAddr;
    return hostname === undefined || port === undefined ? undefined : connectionKey(hostname, port);
  } catch {
    return undefined; // Answered just now.
  }
}

class DenoRequests implements NativeRequests {
  readonly #sockets = new Map<WebSocket, string | undefined>();
  #newest: Entry | undefined;
  #leave: LeaveTaking | undefined;
  #answered = 0;

  /** The handler to start the server with. */
  handler(own: Handler): Handler {
    return (request, info) => {
      const entry: Entry = { request, info, previous: undefined, next: this.#newest };
      if (this.#newest !== undefined) this.#newest.previous = entry;
      this.#newest = entry;
      const over = () => this.#remove(entry);
      info.completed.then(over, over);
      newestServer = this;
      const response = own(request, info);
      if (this.#leave === undefined) return response;
      this.#count(entry);
      return this.#left(response, entry, this.#leave);
    };
  }

  #remove({ previous, next }: Entry): void {
    if (next !== undefined) next.previous = previous;
    if (previous !== undefined) previous.next = next;
    else this.#newest = next;
  }

  #count({ info }: Entry): void {
    info.completed.then(() => this.#answered += 1, () => {});
  }

  async #left(
    response: Response | Promise<Response>,
    entry: Entry,
    leave: LeaveTaking,
  ): Promise<Response> {
    // HTTP/2 knows no such header, and needs no "Host".
    if (!entry.request.headers.has("host")) return await response;
    const key = keyOf(entry);
    return leave(await response, key);
  }

  /** The request that a WebSocket begins with, if it is one of this server's. */
  entryOf(request: Request): Entry | undefined {
    let entry = this.#newest;
    while (entry !== undefined && entry.request !== request) entry = entry.next;
    return entry;
  }

  /** Watches a WebSocket from its beginning. */
  addSocket(socket: WebSocket, key: string | undefined): void {
    // A response that is never returned opens none.
    socket.addEventListener("open", () => this.#sockets.set(socket, key), { once: true });
    socket.addEventListener("close", () => this.#sockets.delete(socket), { once: true });
  }

  open(): OpenRequests {
    const keys = new Set<string>();
    let unknown = 0;
    const add = (key: string | undefined) => {
      if (key === undefined) unknown += 1;
      else keys.add(key);
    };
    for (let entry = this.#newest; entry !== undefined; entry = entry.next) add(keyOf(entry));
    for (const key of this.#sockets.values()) add(key);
    return { keys, unknown };
  }

  answered(): number {
    return this.#answered;
  }

  *webSockets(): Iterable<NativeWebSocket> {
    for (const [socket, key] of this.#sockets) {
      yield {
        id: socket,
        key,
        sendsApart: true,
        onNextMessage: (then) => {
          instead(socket as never, ["send"], (send) => {
            send();
            then();
          });
        },
        close: (code, reason) => {
          this.#sockets.delete(socket);
          socket.close(code, reason);
        },
        get isOpen() {
          return socket.readyState === 1;
        },
      };
    }
  }

  begin(leave: LeaveTaking): void {
    this.#leave = leave;
    this.#answered = 0;
    for (let entry = this.#newest; entry !== undefined; entry = entry.next) this.#count(entry);
  }

  end(): void {
    this.#leave = undefined;
  }
}

const servers = new Set<DenoRequests>();
let newestServer: DenoRequests | undefined;

/** From the first server on, which is earlier than the first WebSocket. */
function watchWebSockets(deno: DenoGlobal): void {
  const { upgradeWebSocket } = deno;
  deno.upgradeWebSocket = (request, ...rest) => {
    // Of a copy of the request nobody knows whose connection it is.
    let server = newestServer;
    let entry: Entry | undefined;
    for (const each of servers) {
      entry = each.entryOf(request);
      if (entry === undefined) continue;
      server = each;
      break;
    }
    // Once it is upgraded, the request tells nothing.
    const key = entry === undefined ? undefined : keyOf(entry);
    const upgraded = upgradeWebSocket(request, ...rest);
    server?.addSocket(upgraded.socket, key);
    return upgraded;
  };
}

/** Makes all forms of the call one: `serve(options, handler)`. */
function argumentsOf(args: readonly unknown[]): [object, Handler] | undefined {
  const [first, second] = args;
  if (typeof first === "function") return [{}, first as Handler];
  const options = (first ?? {}) as { handler?: unknown };
  const handler = second ?? options.handler;
  return typeof handler === "function" ? [options, handler as Handler] : undefined;
}

/**
 * Catches the servers that `Deno.serve` starts.
 *
 * @param deno The global object of the runtime.
 */
export function hookDenoServe(deno: object): ServeHook {
  return new ServeHook(deno, (serve, args): Caught | undefined => {
    const parts = argumentsOf(args);
    if (parts === undefined) return undefined;
    const requests = new DenoRequests();
    const server: object = serve(parts[0], requests.handler(parts[1]));
    if (servers.size === 0) watchWebSockets(deno as DenoGlobal);
    servers.add(requests);
    return { server, requests };
  });
}
