/**
 * Connections of `node:http2` servers, on every runtime.
 *
 * A client learns by GOAWAY that it should reconnect. So that no request is lost which it sends before it has heard
 * that, the first GOAWAY is only a notice, which refuses nothing; the second follows after a round trip and names the
 * last stream that is served (RFC 9113, 6.8).
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import type { Clock } from "../backend/backend.ts";
import type { Drainable, DrainCounts, DrainPlan } from "./drain.ts";
import { HttpDrain, type HttpServer } from "./http.ts";
import type { Connection } from "./net.ts";

interface Stream {
  readonly rstCode: number;
  once(event: "close", listener: () => void): unknown;
}

interface Session {
  readonly destroyed: boolean;
  on(event: "stream", listener: (stream: Stream) => void): unknown;
  once(event: "close", listener: () => void): unknown;
  goaway(code: number, lastStream: number): void;
  ping(callback: () => void): boolean;
  close(): void;
  destroy(): void;
}

type Writable = Connection & { write(bytes: Uint8Array): unknown };

interface Tracked {
  /** Where the frames go, when they are not encrypted. */
  readonly connection: Writable | undefined;
  /** How many streams are open. */
  streams: number;
  /** The client is to be told while one of its requests is answered. */
  turn: boolean;
  /** The client was told to reconnect. */
  told: boolean;
}

const NO_ERROR = 0;
const MAX_STREAM = 2 ** 31 - 1;
// Nine bytes of head (length 8, type 7, no flags, stream 0), the last stream, NO_ERROR.
const NOTICE: Uint8Array = Buffer.from("000008070000000000" + "7fffffff" + "00000000", "hex");

/**
 * How a client can be given notice: by `session.goaway`, by a frame written into an unencrypted connection, or not.
 *
 * With nghttp2 (Node, Deno) `session.goaway` refuses new streams whatever it says. Deno 2.9 was seen to die in nghttp2
 * (assertion, invalid free) under load after a notice, and not without one.
 */
export type Notice = "goaway" | "frame" | "none";

const NOTICE_HERE: Notice = process.versions["bun"] !== undefined
  ? "goaway"
  : process.versions["deno"] !== undefined
  ? "none"
  : "frame";

class Http2Drain implements Drainable {
  readonly kind = "http2";
  readonly #sessions = new Map<Session, Tracked>();
  readonly #http1: HttpDrain;
  readonly #notice: Notice;
  #accepted: Writable | undefined;
  #clock: Clock | undefined;
  #plan: DrainPlan | undefined;
  #served = 0;
  #closedPolitely = 0;
  #changed: (() => void) | undefined;

  constructor(server: HttpServer, notice: Notice) {
    this.#notice = notice;
    const isTls = server.listenerCount("secureConnection") > 0;
    // Without TLS every connection is a session.
    this.#http1 = new HttpDrain(
      server,
      (connection) => isTls && (connection as { alpnProtocol?: unknown }).alpnProtocol !== "h2",
    );
    // The session is made by the listener that follows.
    if (!isTls) {
      server.prependListener("connection", (connection: Writable) => {
        this.#accepted = connection;
      });
    }
    server.on("session", (session: Session) => this.#add(session));
  }

  #add(session: Session): void {
    const tracked: Tracked = {
      connection: this.#accepted,
      streams: 0,
      turn: false,
      told: false,
    };
    this.#accepted = undefined;
    this.#sessions.set(session, tracked);
    session.on("stream", (stream) => this.#stream(session, tracked, stream));
    session.once("close", () => {
      if (!this.#sessions.delete(session)) return;
      if (tracked.told) this.#closedPolitely += 1;
      this.#changed?.();
    });
    // Accepted just before the listener was closed.
    if (this.#plan !== undefined) this.#tellAfter(this.#plan.spreadMs, session, tracked);
  }

  #stream(session: Session, tracked: Tracked, stream: Stream): void {
    tracked.streams += 1;
    stream.once("close", () => {
      tracked.streams -= 1;
      if (this.#clock !== undefined && stream.rstCode === NO_ERROR) this.#served += 1;
    });
    if (tracked.turn) this.#tell(session, tracked);
  }

  connections(): number {
    return this.#sessions.size + this.#http1.connections();
  }

  begin(plan: DrainPlan, clock: Clock): void {
    this.#clock = clock;
    this.#plan = plan;
    this.#served = 0;
    this.#closedPolitely = 0;
    const step = plan.spreadMs / Math.max(1, this.#sessions.size);
    let index = 0;
    for (const [session, tracked] of this.#sessions) {
      this.#tellAfter(step * index++, session, tracked);
    }
    this.#http1.begin(plan, clock);
  }

  resume(clock: Clock): void {
    this.#clock = undefined;
    this.#plan = undefined;
    for (const tracked of this.#sessions.values()) tracked.turn = false;
    this.#http1.resume(clock);
  }

  #tellAfter(ms: number, session: Session, tracked: Tracked): void {
    const clock = this.#clock as Clock;
    const { idleGraceMs } = this.#plan as DrainPlan;
    clock.after(ms, () => {
      tracked.turn = true;
      if (tracked.streams > 0) this.#tell(session, tracked);
    });
    clock.after(ms + idleGraceMs, () => this.#close(session, tracked));
  }

  /** A client that asks one thing after the other has nothing on its way while it is told together with an answer. */
  #tell(session: Session, tracked: Tracked): void {
    if (session.destroyed || tracked.told) return;
    if (this.#notice === "goaway") session.goaway(NO_ERROR, MAX_STREAM);
    else if (this.#notice === "frame" && tracked.connection !== undefined) {
      // Whole frames are written, so one more fits between them.
      tracked.connection.write(NOTICE);
    } else {
      // Nobody else may write into a TLS connection whose session does (Node aborts). Without a notice, requests that are
      // on their way are refused, and the client may repeat them (RFC 9113, 8.7).
      if (tracked.streams === 1) this.#close(session, tracked);
      return;
    }
    tracked.told = true;
    // Not from within the callback: the session is still reading then.
    session.ping(() => this.#clock?.after(0, () => this.#close(session, tracked)));
  }

  /** Open streams finish, then the session ends. */
  #close(session: Session, tracked: Tracked): void {
    if (session.destroyed) return;
    tracked.told = true;
    session.close();
  }

  onChange(receiver: () => void): void {
    this.#changed = receiver;
    this.#http1.onChange(receiver);
  }

  cut(): number {
    const left = [...this.#sessions.keys()];
    this.#sessions.clear();
    for (const session of left) session.destroy();
    return left.length + this.#http1.cut();
  }

  counts(): Pick<DrainCounts, "served" | "closedIdle" | "closedPolitely"> {
    const { served, closedIdle, closedPolitely } = this.#http1.counts();
    return {
      served: served + this.#served,
      closedIdle,
      closedPolitely: closedPolitely + this.#closedPolitely,
    };
  }
}

/** Watches the sessions of an HTTP/2 server. */
export function watchHttp2(server: HttpServer, notice: Notice = NOTICE_HERE): Drainable {
  return new Http2Drain(server, notice);
}
