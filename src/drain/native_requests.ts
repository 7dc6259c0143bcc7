/**
 * Connections of `Bun.serve` and `Deno.serve`: seen from outside, as sockets, and brought together with the requests that
 * the server is answering.
 *
 * Their own graceful stop cuts idle connections into the next request, and Deno's also WebSockets and uploads. So here each
 * connection gets its turn: from then on its next response says `Connection: close`, after which Bun closes it, and on Deno
 * the client does. What is idle after the grace is closed when nothing has arrived.
 *
 * @module
 */

import type { Clock } from "../backend/backend.ts";
import type {
  NativeConnections,
  NativeRequests,
  NativeWebSocket,
  OpenConnection,
  OpenRequests,
} from "../backend/native.ts";
import type { Drainable, DrainCounts, DrainPlan } from "./drain.ts";
import { closing } from "./goodbye.ts";

/** One connection. */
interface Tracked {
  /** Where it was seen last. */
  connection: OpenConnection;
  /** From when on its responses say goodbye. */
  turn: number;
  /** A request has come on it since the drain began, so it is known whether one is being answered. */
  heard: boolean;
  /** When the client was told to reconnect. */
  told: number | undefined;
  /** It was told so in the words of a WebSocket. */
  isWebSocket: boolean;
  /** Since when nothing is being answered on it, as far as is known. */
  idleSince: number;
  /** Closed here. */
  ended: "idle" | "polite" | undefined;
}

// Looking takes a few microseconds per descriptor of the process, of which it may take a tenth at most.
const INTERVAL_MS = 50;
const LOOK_SHARE = 10;
/** How long a client that was told may take to close; then it is done here. */
const LINGER_MS = 1_000;
// Closing thousands of idle connections is done in portions, between which the event loop turns.
const PORTION = 200;
const PAUSE_MS = 10;
/** Close code "service restart" (IANA's WebSocket close code registry). */
const SERVICE_RESTART = 1012;

class RequestsDrain implements Drainable {
  readonly kind = "native";
  readonly #sockets: NativeConnections;
  readonly #requests: NativeRequests;
  readonly #tracked = new Map<string, Tracked>();
  readonly #toldSockets = new Set<unknown>();
  #clock: Clock | undefined;
  #plan: DrainPlan | undefined;
  #began = 0;
  #isOver = false;
  #isLooking = false;
  #isClosing = false;
  /** What was seen a moment before the drain began: with thousands of connections, looking takes its time. */
  #first: readonly OpenConnection[] | undefined;
  #closedIdle = 0;
  #closedPolitely = 0;
  /** What the server itself has closed, if it was idle. */
  readonly #swept = new Set<string>();
  /** Clients that were told on connections that are not known. */
  #toldUnknown = 0;
  #changed: (() => void) | undefined;

  constructor(sockets: NativeConnections, requests: NativeRequests) {
    this.#sockets = sockets;
    this.#requests = requests;
  }

  connections(): number {
    if (this.#clock === undefined) {
      this.#first = this.#sockets.look();
      queueMicrotask(() => this.#first = undefined);
      return this.#first.length;
    }
    if (this.#isOver) return 0;
    // One may have been accepted just before the listener was closed.
    if (this.#tracked.size === 0) this.#watch(this.#sockets.look(), 0);
    return this.#tracked.size;
  }

  begin(plan: DrainPlan, clock: Clock): void {
    this.#clock = clock;
    this.#plan = plan;
    this.#closedIdle = 0;
    this.#closedPolitely = 0;
    this.#toldUnknown = 0;
    this.#began = clock.now();
    this.#requests.begin((response, key) => this.#leave(response, key));
    this.#watch(this.#first ?? this.#sockets.look(), plan.spreadMs);
    this.#tellWebSockets();
  }

  resume(): void {
    this.#clock = undefined;
    this.#plan = undefined;
    this.#isLooking = false;
    this.#isClosing = false;
    this.#requests.end();
    this.#tracked.clear();
    this.#swept.clear();
  }

  /** Connections get their turns evenly over the spread. */
  #watch(connections: readonly OpenConnection[], spreadMs: number): void {
    const now = (this.#clock as Clock).now();
    const step = spreadMs / Math.max(1, connections.length);
    connections.forEach((connection, index) => this.#track(connection, now + step * index));
    if (connections.length > 0 && !this.#isLooking) this.#lookAfter(INTERVAL_MS);
  }

  #track(connection: OpenConnection, turn: number): Tracked {
    const tracked: Tracked = {
      connection,
      turn,
      heard: false,
      told: undefined,
      isWebSocket: false,
      idleSince: (this.#clock as Clock).now(),
      ended: undefined,
    };
    this.#tracked.set(connection.key, tracked);
    return tracked;
  }

  #leave(response: Response, key: string | undefined): Response {
    // The drain that this was to be a part of came to nothing.
    if (this.#clock === undefined) return response;
    const now = this.#clock.now();
    const tracked = key === undefined ? undefined : this.#tracked.get(key);
    if (tracked !== undefined) tracked.heard = true;
    // Of a connection that is not known the turn is not known either: their share rises over the spread.
    const turn = tracked?.turn ??
      (this.#began + Math.random() * (this.#plan as DrainPlan).spreadMs);
    // Not of a response that opens a WebSocket, nor of one that is an error of the network.
    if (now < turn || response.status < 200) return response;
    if (tracked === undefined) this.#toldUnknown += 1;
    else tracked.told ??= now;
    return withClose(response);
  }

  #tellWebSockets(): void {
    const { spreadMs, webSocketSpreadMs = spreadMs } = this.#plan as DrainPlan;
    const fresh = [...this.#requests.webSockets()].filter(({ id }) => !this.#toldSockets.has(id));
    const step = webSocketSpreadMs / Math.max(1, fresh.length);
    fresh.forEach((socket, index) => {
      this.#toldSockets.add(socket.id);
      this.#clock?.after(step * index, () => this.#tellWebSocket(socket));
    });
  }

  #tellWebSocket(socket: NativeWebSocket): void {
    if (!socket.isOpen) return;
    const tracked = socket.key === undefined ? undefined : this.#tracked.get(socket.key);
    if (tracked === undefined) this.#toldUnknown += 1;
    else {
      tracked.told = (this.#clock as Clock).now();
      tracked.isWebSocket = true;
    }
    socket.close(SERVICE_RESTART, "Service Restart");
  }

  #lookAfter(ms: number): void {
    this.#isLooking = true;
    this.#clock?.after(ms, () => {
      this.#isLooking = false;
      if (this.#isOver) return;
      const began = performance.now();
      this.#look();
      const took = performance.now() - began;
      if (this.#tracked.size > 0) this.#lookAfter(Math.max(INTERVAL_MS, took * LOOK_SHARE));
      this.#changed?.();
    });
  }

  #look(): void {
    // Requests first: one that comes in between is then on a connection whose bytes were not quiet.
    const answering = this.#requests.open();
    const open = new Map(this.#sockets.look().map((each) => [each.key, each]));
    for (const [key, tracked] of this.#tracked) {
      if (!open.has(key)) this.#gone(key, tracked);
    }
    this.#swept.clear();
    // Accepted just before the listener was closed.
    for (const connection of open.values()) {
      const tracked = this.#tracked.get(connection.key);
      if (tracked === undefined) this.#track(connection, 0);
      else tracked.connection = connection;
    }
    this.#tellWebSockets();
    if (!this.#isClosing) this.#closeIdle(answering);
  }

  #gone(key: string, { ended, told }: Tracked): void {
    this.#tracked.delete(key);
    const isSwept = this.#swept.has(key) && told === undefined;
    if (ended === "idle" || isSwept) this.#closedIdle += 1;
    else if (ended !== undefined || told !== undefined) this.#closedPolitely += 1;
    else if (this.#toldUnknown > 0) {
      this.#toldUnknown -= 1;
      this.#closedPolitely += 1;
    }
  }

  #closeIdle(answering: OpenRequests): void {
    const isBlind = this.#unknown(answering) > 0;
    let portion = PORTION;
    let hidden = false;
    let waits = false;
    for (const tracked of this.#tracked.values()) {
      const { connection, told, ended } = tracked;
      const isBusy = answering.keys.has(connection.key);
      if (isBusy) tracked.idleSince = (this.#clock as Clock).now();
      if (isBusy || ended !== undefined) continue;
      if (portion < 0) continue; // has its turn next
      const isHidden = isBlind && !tracked.heard && told === undefined;
      // One that is hidden and never quiet is busy, most likely.
      if (!this.#isDue(tracked)) waits ||= !isHidden || this.#isEarly;
      else if (isHidden) hidden = true;
      else if (portion-- > 0 && !this.#sockets.hasUnread(connection)) {
        this.#sockets.close(connection);
        tracked.ended = told === undefined ? "idle" : "polite";
      }
    }
    this.#isClosing = portion < 0;
    if (!this.#isClosing) {
      if (hidden && !waits) this.#closeHidden();
      return;
    }
    // No look is needed in between: of each that is closed the kernel is asked again.
    this.#clock?.after(PAUSE_MS, () => {
      if (!this.#isOver) this.#closeIdle(this.#requests.open());
    });
  }

  /** Whether a connection is to be closed, provided that nothing is being answered on it. */
  #isDue({ connection, idleSince, told, isWebSocket }: Tracked): boolean {
    const { idleGraceMs } = this.#plan as DrainPlan;
    const now = (this.#clock as Clock).now();
    // A client that was told and keeps asking does not listen (RFC 9112, 9.6). One that ends a WebSocket may have a long
    // message on the way in front of its answer.
    if (told !== undefined && !isWebSocket && now - told >= idleGraceMs) return true;
    const grace = told === undefined || isWebSocket
      ? idleGraceMs
      : Math.min(LINGER_MS, idleGraceMs);
    if (now - (told ?? idleSince) < grace) return false;
    return (this.#sockets.quietMs(connection) ?? grace) >= grace;
  }

  /** Whether an idle connection may still have been busy when the drain began. */
  get #isEarly(): boolean {
    const now = (this.#clock as Clock).now();
    return now - this.#began < 2 * (this.#plan as DrainPlan).idleGraceMs;
  }

  /** Connections of requests that came before the drain look like idle ones; the server itself can tell them apart. */
  #closeHidden(): void {
    const hidden = [...this.#tracked.values()].filter(({ heard, ended }) => !heard && !ended);
    if (hidden.some(({ connection }) => this.#sockets.hasUnread(connection))) return;
    this.#requests.closeIdle?.();
    for (const { connection } of hidden) this.#swept.add(connection.key);
  }

  /** How many requests are answered on connections nobody knows. */
  #unknown({ keys, unknown }: OpenRequests): number {
    for (const key of keys) if (!this.#tracked.has(key)) unknown += 1;
    return unknown;
  }

  onChange(receiver: () => void): void {
    this.#changed = receiver;
  }

  cut(): number {
    const left = this.#sockets.look();
    for (const connection of left) this.#sockets.close(connection);
    this.#isOver = true;
    return left.length;
  }

  counts(): Pick<DrainCounts, "served" | "closedIdle" | "closedPolitely"> {
    return {
      served: this.#clock === undefined ? 0 : this.#requests.answered(),
      closedIdle: this.#closedIdle,
      closedPolitely: this.#closedPolitely,
    };
  }
}

/** The response with `Connection: close`, beside what the handler has said there. */
function withClose(response: Response): Response {
  const value = closing(response.headers.get("connection"));
  try {
    response.headers.set("connection", value);
    return response;
  } catch {
    // Of a response that came from `fetch()` the headers cannot be changed.
    const { status, statusText, headers } = response;
    const copy = new Response(response.body, { status, statusText, headers });
    copy.headers.set("connection", value);
    return copy;
  }
}

/** Watches the connections of a server by its sockets and its requests. */
export function watchRequests(sockets: NativeConnections, requests: NativeRequests): Drainable {
  return new RequestsDrain(sockets, requests);
}
