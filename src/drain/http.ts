/**
 * Connections of `node:http` and `node:https` servers, on every runtime.
 *
 * `http.Server.close` closes idle keep-alive connections at once, into the client's next request, and leaves busy ones
 * open for ever (nodejs/node #60617, #2642). Here every connection gets its turn: from then on the next response on it
 * says `Connection: close`, after which the server closes it and no request can be lost.
 *
 * @module
 */

import process from "node:process";
import { setImmediate } from "node:timers";
import type { Clock } from "../backend/backend.ts";
import type { Drainable, DrainCounts, DrainPlan } from "./drain.ts";
import { type Response, sayGoodbye } from "./goodbye.ts";
import type { Connection } from "./net.ts";
import { WebSocketFarewell } from "./websocket.ts";

interface Request {
  readonly socket: Connection;
  readonly httpVersionMajor: number;
  readonly headers?: { readonly upgrade?: string };
}

/** What is used of a server. */
export interface HttpServer {
  on(event: string, listener: (...args: never[]) => void): unknown;
  prependListener(event: string, listener: (...args: never[]) => void): unknown;
  listenerCount(event: string): number;
}

/** One look at all connections, in portions. */
interface Round {
  readonly entries: IterableIterator<[Connection, Tracked]>;
  /** When one of those that were seen may be closed. */
  next: number;
}

/** One connection. */
interface Tracked {
  /** Responses that are not finished. */
  readonly responses: Set<Response>;
  /** The response to the newest request that has arrived. */
  newest: Response | undefined;
  /** The newest request has arrived in this very turn of the event loop. */
  fresh: boolean;
  /** Its client has sent a request before it had the response to the one before. */
  pipelines: boolean;
  /** What had been read when the newest request came; only where `CLOSES_LATE`. */
  readWithNewest: number | undefined;
  /** The turn of the event loop in which its newest request came; only where `ONE_BY_ONE`. */
  turnOfNewest: number | undefined;
  /** From when on its responses say goodbye; on the clock of the drain. */
  turn: number;
  /** Since when it has been idle. */
  idleSince: number;
  /** What had arrived by then. */
  bytesRead: number | undefined;
  /** The client was told to reconnect. */
  told: boolean;
  /** It speaks another protocol now (WebSocket, CONNECT). */
  upgraded: boolean;
  webSocket: WebSocketFarewell | undefined;
  /** Its grace was found to be over, and the event loop has turned since: what had arrived by then was read. */
  due: boolean;
  /** FIN was sent. */
  ending: boolean;
}

// Deno 2.9 tells "close" of a response late: the next request of a client that waits for its answers may come before it.
const CLOSES_LATE: boolean = process.versions["deno"] !== undefined;
// Bun tells requests that were sent ahead only when the response to the one before is closed, but in the same turn.
const ONE_BY_ONE: boolean = process.versions["bun"] !== undefined;
// How long a client may take to answer our FIN.
const LINGER_MS = 1_000;
// With thousands of connections, looking and closing is done in portions, so that the event loop turns meanwhile.
const LOOKS = 1_500;
const CLOSES = 100;
const PAUSE_MS = 10;

/** The drain of an HTTP/1.1 server; of an HTTP/2 server that allows HTTP/1.1, the connections that speak it. */
export class HttpDrain implements Drainable {
  readonly kind = "http";
  readonly #connections = new Map<Connection, Tracked>();
  #clock: Clock | undefined;
  #plan: DrainPlan | undefined;
  /** When what is left is cut. */
  #end = 0;
  #served = 0;
  #closedIdle = 0;
  #closedPolitely = 0;
  #changed: (() => void) | undefined;

  /** @param speaksHttp1 Tells whose connections these are. */
  constructor(server: HttpServer, speaksHttp1: (connection: Connection) => boolean = () => true) {
    // On a TLS server requests come on the secure socket, which wraps the one that "connection" tells.
    const tls = server.listenerCount("secureConnection") > 0;
    server.on(tls ? "secureConnection" : "connection", (connection: Connection) => {
      if (speaksHttp1(connection)) this.#add(connection);
    });
    server.prependListener(
      "request",
      (request: Request, response: Response) => this.#request(request, response),
    );
    // A listener of ours would change what the server does with such requests, so it follows the application's.
    for (const event of ["checkContinue", "checkExpectation"]) {
      follow(server, event, (request, response) => this.#request(request, response as Response));
    }
    for (const event of ["upgrade", "connect"]) {
      follow(server, event, (request) => this.#upgrade(request, event));
    }
  }

  #add(connection: Connection): Tracked {
    const tracked: Tracked = {
      responses: new Set(),
      newest: undefined,
      fresh: false,
      pipelines: false,
      readWithNewest: undefined,
      turnOfNewest: undefined,
      turn: 0,
      idleSince: this.#clock?.now() ?? 0,
      bytesRead: connection.bytesRead,
      told: false,
      upgraded: false,
      webSocket: undefined,
      due: false,
      ending: false,
    };
    this.#connections.set(connection, tracked);
    // Accepted just before the listener was closed.
    if (this.#plan !== undefined) this.#clock?.after(this.#plan.idleGraceMs, () => this.#sweep());
    connection.once("close", () => {
      // What was cut is no longer in the list.
      if (!this.#connections.delete(connection)) return;
      if (tracked.told || tracked.webSocket?.told === true) this.#closedPolitely += 1;
      this.#changed?.();
    });
    return tracked;
  }

  #request(request: Request, response: Response): void {
    if (request.httpVersionMajor > 1) return;
    const tracked = this.#connections.get(request.socket) ?? this.#add(request.socket);
    // A request that "checkContinue" told comes again when the application emits "request".
    if (tracked.responses.has(response)) return;
    tracked.pipelines ||= tracked.responses.size > 0 && this.#isAhead(tracked, request.socket);
    if (CLOSES_LATE) tracked.readWithNewest = request.socket.bytesRead;
    if (ONE_BY_ONE) {
      const turn = thisTurn();
      tracked.pipelines ||= tracked.turnOfNewest === turn;
      tracked.turnOfNewest = turn;
    }
    tracked.responses.add(response);
    tracked.newest = response;
    if (this.#clock !== undefined) {
      if (tracked.pipelines) {
        tracked.fresh = true;
        this.#clock.after(0, () => tracked.fresh = false);
      }
      this.#watch(request.socket, tracked, response, this.#clock);
    }
    response.once("close", () => {
      tracked.responses.delete(response);
      if (this.#clock === undefined) return;
      if (response.writableFinished !== false) this.#served += 1;
      tracked.idleSince = this.#clock.now();
      tracked.bytesRead = request.socket.bytesRead;
    });
  }

  /** Whether a request, while responses to others are not closed, was sent before those were written. */
  #isAhead({ responses, readWithNewest }: Tracked, { bytesRead }: Connection): boolean {
    if (!CLOSES_LATE || bytesRead === readWithNewest) return true;
    for (const response of responses) if (response.writableEnded !== true) return true;
    return false;
  }

  #watch(connection: Connection, tracked: Tracked, response: Response, clock: Clock): void {
    if (response.headersSent) return;
    sayGoodbye(response, () => {
      if (tracked.told || !this.#isLast(tracked, response, clock)) return false;
      return tracked.told = this.#connections.has(connection);
    });
  }

  /** What a client sent after the request whose response says goodbye is never answered. */
  #isLast(tracked: Tracked, response: Response, clock: Clock): boolean {
    // The drain that this was to be a part of came to nothing.
    if (this.#clock !== clock) return false;
    const since = clock.now() - tracked.turn;
    if (since < 0 || tracked.newest !== response) return false;
    // More requests may lie in what was read together with this one. A client that always has some on the way can only
    // be told at their cost, so it is told late; it has to repeat them (RFC 9112, 9.3.2).
    return !(tracked.pipelines && tracked.fresh) || since > (this.#plan as DrainPlan).idleGraceMs;
  }

  #upgrade(request: Request, event: string): void {
    const tracked = this.#connections.get(request.socket);
    if (tracked === undefined) return;
    tracked.upgraded = true;
    if (event !== "upgrade" || request.headers?.upgrade?.toLowerCase() !== "websocket") return;
    tracked.webSocket = new WebSocketFarewell(request.socket);
    if (this.#plan === undefined || this.#clock === undefined) return;
    const { spreadMs, webSocketSpreadMs = spreadMs, idleGraceMs } = this.#plan;
    const timeLeftMs = this.#end - this.#clock.now();
    tracked.webSocket.say(this.#clock, webSocketSpreadMs, idleGraceMs, timeLeftMs);
  }

  connections(): number {
    return this.#connections.size;
  }

  begin(plan: DrainPlan, clock: Clock): void {
    this.#clock = clock;
    this.#plan = plan;
    this.#served = 0;
    this.#closedIdle = 0;
    this.#closedPolitely = 0;
    const began = clock.now();
    this.#end = began + plan.timeoutMs;
    // Evenly over the spread, in the order in which the clients came. Whatever is dear waits for the portions of the sweep.
    const step = plan.spreadMs / Math.max(1, this.#connections.size);
    const webSockets: WebSocketFarewell[] = [];
    let turn = began;
    this.#connections.forEach((tracked, connection) => {
      tracked.turn = turn;
      turn += step;
      tracked.idleSince = began;
      for (const response of tracked.responses) this.#watch(connection, tracked, response, clock);
      if (tracked.webSocket !== undefined) webSockets.push(tracked.webSocket);
    });
    const pause = (plan.webSocketSpreadMs ?? plan.spreadMs) / Math.max(1, webSockets.length);
    webSockets.forEach((one, index) =>
      one.say(clock, pause * index, plan.idleGraceMs, plan.timeoutMs)
    );
    this.#sweep();
  }

  resume(clock: Clock): void {
    this.#clock = undefined;
    this.#plan = undefined;
    for (const [connection, tracked] of this.#connections) {
      tracked.due = false;
      tracked.webSocket?.keep();
      // Its client knows already: nothing is served on it any more.
      if (tracked.ending) clock.after(LINGER_MS, () => connection.destroy());
    }
  }

  /**
   * Closes the connections whose grace is over, and comes back when the next one may be.
   *
   * @param round Where the last portion ended, and when the next round is due as far as is known.
   */
  #sweep(round: Round = { entries: this.#connections.entries(), next: Infinity }): void {
    const clock = this.#clock as Clock;
    const { idleGraceMs } = this.#plan as DrainPlan;
    const now = clock.now();
    let closes = CLOSES;
    for (let looks = LOOKS; looks > 0 && closes > 0; looks--) {
      const { value, done } = round.entries.next();
      if (done === true) {
        if (round.next !== Infinity) {
          clock.after(Math.max(PAUSE_MS, round.next - now), () => this.#sweep());
        }
        return;
      }
      const [connection, tracked] = value;
      if (tracked.upgraded || tracked.ending) continue;
      // A busy connection, or one on which a part of a request has arrived, may become idle at any moment, and then has
      // the whole grace.
      if (tracked.responses.size > 0 || tracked.bytesRead !== connection.bytesRead) {
        tracked.idleSince = now;
        tracked.bytesRead = connection.bytesRead;
      }
      const until = tracked.idleSince + idleGraceMs;
      const wasDue = tracked.due;
      tracked.due = tracked.responses.size === 0 && until - PAUSE_MS <= now;
      if (until > now || !wasDue || !tracked.due) {
        round.next = Math.min(round.next, tracked.due ? until : until - PAUSE_MS);
      } else {
        closes -= 1;
        this.#closeIdle(connection, tracked);
      }
    }
    clock.after(PAUSE_MS, () => this.#sweep(round));
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

  counts(): Pick<DrainCounts, "served" | "closedIdle" | "closedPolitely"> {
    return {
      served: this.#served,
      closedIdle: this.#closedIdle,
      closedPolitely: this.#closedPolitely,
    };
  }
}

let turn = 0;
let isCounted = false;

/** Tells turns of the event loop apart; one immediate for all requests of a turn. */
function thisTurn(): number {
  if (!isCounted) {
    isCounted = true;
    setImmediate(() => {
      isCounted = false;
      turn += 1;
    });
  }
  return turn;
}

/** Listens in front of the application, once it listens. */
function follow(
  server: HttpServer,
  event: string,
  listener: (request: Request, second: unknown) => void,
): void {
  let watching = server.listenerCount(event) > 0;
  if (watching) server.prependListener(event, listener);
  server.on("newListener", (name: string, added: unknown) => {
    if (watching || name !== event || added === listener) return;
    watching = true;
    server.prependListener(event, listener);
  });
}

/** Watches the connections of an HTTP/1.1 server. */
export function watchHttp(server: HttpServer): Drainable {
  return new HttpDrain(server);
}
