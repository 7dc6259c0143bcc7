/**
 * Connections of `node:http` and `node:https` servers, on every runtime.
 *
 * `http.Server.close` closes idle keep-alive connections at once, into the client's next request, and leaves busy ones
 * open for ever (nodejs/node #60617, #2642). Here every connection gets its turn: from then on the next response on it
 * says `Connection: close`, after which the server closes it and no request can be lost.
 *
 * @module
 */

import type { Clock } from "../backend/backend.ts";
import type { Drainable, DrainPlan } from "./drain.ts";
import type { Connection } from "./net.ts";

interface Request {
  readonly socket: Connection;
  readonly httpVersionMajor: number;
}

interface Response {
  readonly headersSent: boolean;
  shouldKeepAlive: boolean;
  setHeader(name: string, value: string): unknown;
  once(event: "close", listener: () => void): unknown;
}

interface HttpServer {
  on(event: string, listener: (...args: never[]) => void): unknown;
  prependListener(event: string, listener: (...args: never[]) => void): unknown;
  listenerCount(event: string): number;
}

/** One connection. */
interface Tracked {
  /** Responses that are not finished. */
  readonly responses: Set<Response>;
  /** From when on its responses say goodbye; on the clock of the drain. */
  turn: number;
  /** Since when it has been idle. */
  idleSince: number;
  /** It speaks another protocol now (WebSocket, CONNECT): it is waited for. */
  upgraded: boolean;
  /** FIN was sent. */
  ending: boolean;
}

// How long a client may take to answer our FIN.
const LINGER_MS = 1_000;

function sayGoodbye(response: Response): void {
  if (response.headersSent) return;
  response.shouldKeepAlive = false;
  response.setHeader("Connection", "close");
}

class HttpDrain implements Drainable {
  readonly #connections = new Map<Connection, Tracked>();
  #clock: Clock | undefined;
  #plan: DrainPlan | undefined;
  #began = 0;
  #served = 0;
  #closedIdle = 0;
  #changed: (() => void) | undefined;

  constructor(server: HttpServer) {
    // On a TLS server requests come on the secure socket, which wraps the one that "connection" tells.
    const tls = server.listenerCount("secureConnection") > 0;
    server.on(
      tls ? "secureConnection" : "connection",
      (connection: Connection) => this.#add(connection),
    );
    server.prependListener(
      "request",
      (request: Request, response: Response) => this.#request(request, response),
    );
    this.#watchHandshakes(server, "upgrade");
    this.#watchHandshakes(server, "connect");
  }

  /** A listener of ours would change what the server does with such requests, so it follows the application's. */
  #watchHandshakes(server: HttpServer, event: string): void {
    const taken = (request: Request) => {
      const tracked = this.#connections.get(request.socket);
      if (tracked !== undefined) tracked.upgraded = true;
    };
    let watching = server.listenerCount(event) > 0;
    if (watching) server.prependListener(event, taken);
    server.on("newListener", (name: string, listener: unknown) => {
      if (watching || name !== event || listener === taken) return;
      watching = true;
      server.prependListener(event, taken);
    });
  }

  #add(connection: Connection): Tracked {
    const tracked: Tracked = {
      responses: new Set(),
      turn: 0,
      idleSince: this.#clock?.now() ?? 0,
      upgraded: false,
      ending: false,
    };
    this.#connections.set(connection, tracked);
    // Accepted just before the listener was closed.
    if (this.#plan !== undefined) this.#clock?.after(this.#plan.idleGraceMs, () => this.#sweep());
    connection.once("close", () => {
      this.#connections.delete(connection);
      this.#changed?.();
    });
    return tracked;
  }

  #request(request: Request, response: Response): void {
    if (request.httpVersionMajor > 1) return;
    const tracked = this.#connections.get(request.socket) ?? this.#add(request.socket);
    tracked.responses.add(response);
    if (this.#clock !== undefined && this.#clock.now() >= tracked.turn) sayGoodbye(response);
    response.once("close", () => {
      tracked.responses.delete(response);
      if (this.#clock === undefined) return;
      this.#served += 1;
      tracked.idleSince = this.#clock.now();
    });
  }

  connections(): number {
    return this.#connections.size;
  }

  begin(plan: DrainPlan, clock: Clock): void {
    this.#clock = clock;
    this.#plan = plan;
    this.#began = clock.now();
    // Evenly over the spread, in the order in which the clients came.
    const step = plan.spreadMs / Math.max(1, this.#connections.size);
    let index = 0;
    for (const tracked of this.#connections.values()) {
      const wait = step * index++;
      tracked.turn = this.#began + wait;
      tracked.idleSince = this.#began;
      clock.after(wait, () => {
        for (const response of tracked.responses) sayGoodbye(response);
      });
    }
    this.#sweep();
  }

  /** Closes the connections whose grace is over, and comes back when the next one may be. */
  #sweep(): void {
    const clock = this.#clock as Clock;
    const plan = this.#plan as DrainPlan;
    const now = clock.now();
    let next = Infinity;
    for (const [connection, tracked] of this.#connections) {
      if (tracked.upgraded || tracked.ending) continue;
      // A busy connection may become idle at any moment, and then has the whole grace.
      const until = (tracked.responses.size > 0 ? now : tracked.idleSince) + plan.idleGraceMs;
      if (tracked.responses.size > 0 || until > now) next = Math.min(next, until);
      else this.#closeIdle(connection, tracked);
    }
    if (next !== Infinity) clock.after(Math.max(10, next - now), () => this.#sweep());
  }

  #closeIdle(connection: Connection, tracked: Tracked): void {
    tracked.ending = true;
    this.#closedIdle += 1;
    connection.end();
    (this.#clock as Clock).after(LINGER_MS, () => connection.destroy());
  }

  onChange(receiver: () => void): void {
    this.#changed = receiver;
  }

  cut(): number {
    const left = [...this.#connections.keys()];
    this.#connections.clear();
    for (const connection of left) connection.destroy();
    return left.length;
  }

  counts(): { readonly served: number; readonly closedIdle: number } {
    return { served: this.#served, closedIdle: this.#closedIdle };
  }
}

/** Watches the connections of an HTTP/1.1 server. */
export function watchHttp(server: HttpServer): Drainable {
  return new HttpDrain(server);
}
