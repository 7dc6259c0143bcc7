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
import { closeBehindMessage } from "./last_message.ts";
import { lookUntilNone, pause } from "./looking.ts";

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

/** How long a client that was told may take to close; then it is done here. */
const LINGER_MS = 1_000;
// Closing thousands of idle connections is done in portions, between which the event loop turns.
const PORTION = 200;
const PAUSE_MS = 10;
// Deno writes message and close frame in this turn of the event loop and the next, as strace has shown. Between the two the
// client could send its next message.
const HOLD_TURNS = 4;
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
  /** How many connections were seen since the drain began; nobody knows before the first look. */
  #seen: number | undefined;
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
    if (this.#plan === undefined) return this.#sockets.now().open.length;
    // That there is none is known at the end only.
    return this.#isOver ? 0 : Math.max(1, this.#tracked.size);
  }

  begin(plan: DrainPlan, clock: Clock, settled: Promise<void>): void {
    this.#clock = clock;
    this.#plan = plan;
    this.#isOver = false;
    this.#seen = undefined;
    this.#closedIdle = 0;
    this.#closedPolitely = 0;
    this.#toldUnknown = 0;
    this.#began = clock.now();
    this.#requests.begin((response, key) => this.#leave(response, key));
    const isEnded = () => this.#isOver || this.#plan !== plan;
    void lookUntilNone(() => this.#look(isEnded), { clock, settled, isEnded }).then((isNone) => {
      if (!isNone) return;
      this.#isOver = true;
      this.#changed?.();
    });
  }

  resume(): void {
    this.#clock = undefined;
    this.#plan = undefined;
    this.#requests.end();
    this.#tracked.clear();
    this.#swept.clear();
    this.#toldSockets.clear();
  }

  #track(connection: OpenConnection, turn: number): void {
    this.#seen = (this.#seen ?? 0) + 1;
    this.#tracked.set(connection.key, {
      connection,
      turn,
      heard: false,
      told: undefined,
      isWebSocket: false,
      idleSince: (this.#clock as Clock).now(),
      ended: undefined,
    });
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
    const clock = this.#clock as Clock;
    const tracked = () => socket.key === undefined ? undefined : this.#tracked.get(socket.key);
    const isCurrent = () => this.#clock === clock;
    closeBehindMessage(
      {
        // Unless the drain that this is a part of came to nothing.
        get isOpen() {
          return socket.isOpen && isCurrent();
        },
        quietMs: () => {
          const { connection } = tracked() ?? {};
          return connection && this.#sockets.quietMs(connection);
        },
        onNextMessage: (then) =>
          socket.onNextMessage(() => {
            const { connection } = tracked() ?? {};
            const isApart = socket.sendsApart && isCurrent();
            if (connection !== undefined && isApart) this.#holdTogether(connection, clock);
            then();
          }),
        close: () => this.#closeWebSocket(socket, tracked()),
      },
      clock,
      this.#began + (this.#plan as DrainPlan).timeoutMs - clock.now(),
    );
  }

  #holdTogether(connection: OpenConnection, clock: Clock): void {
    this.#sockets.hold(connection, true);
    const release = (turns: number) => {
      if (turns === 0) this.#sockets.hold(connection, false);
      else clock.after(0, () => release(turns - 1));
    };
    release(HOLD_TURNS);
  }

  #closeWebSocket(socket: NativeWebSocket, tracked: Tracked | undefined): void {
    if (tracked === undefined) this.#toldUnknown += 1;
    else {
      tracked.told = (this.#clock as Clock).now();
      tracked.isWebSocket = true;
    }
    socket.close(SERVICE_RESTART, "Service Restart");
  }

  /** @returns How many are left. */
  async #look(isEnded: () => boolean): Promise<number> {
    const { open } = await this.#sockets.look();
    if (isEnded()) return 0;
    this.#compare(open);
    this.#tellWebSockets();
    // No look is needed between portions: of each that is closed the kernel is asked again.
    while (this.#closeIdle(this.#requests.open())) {
      await pause(this.#clock as Clock, PAUSE_MS);
      if (isEnded()) return 0;
    }
    this.#changed?.();
    return this.#tracked.size;
  }

  /** Those that are found first get their turns evenly over the spread; later ones came just before the listener was closed. */
  #compare(open: readonly OpenConnection[]): void {
    const keys = new Set(open.map(({ key }) => key));
    for (const [key, tracked] of this.#tracked) if (!keys.has(key)) this.#gone(key, tracked);
    this.#swept.clear();
    const spreadMs = this.#seen === undefined ? (this.#plan as DrainPlan).spreadMs : 0;
    const step = spreadMs / Math.max(1, open.length);
    this.#seen ??= 0;
    open.forEach((connection, index) => {
      const tracked = this.#tracked.get(connection.key);
      if (tracked === undefined) this.#track(connection, this.#began + step * index);
      else tracked.connection = connection;
    });
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

  /** Closes a portion of those that are due. @returns Whether there are more. */
  #closeIdle(answering: OpenRequests): boolean {
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
    if (portion < 0) return true;
    if (hidden && !waits) this.#closeHidden();
    return false;
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
    const { open } = this.#sockets.now();
    for (const connection of open) this.#sockets.close(connection);
    this.#isOver = true;
    return open.length;
  }

  counts(): Omit<DrainCounts, "cut"> {
    return {
      connections: this.#seen ?? 0,
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
