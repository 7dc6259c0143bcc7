/**
 * One connection to the control socket: one request, one answer, every wait bounded.
 *
 * @module
 */

import type { Socket } from "node:net";
import type { Clock, Disposer } from "../backend/backend.ts";
import { type Answer, refusal, wire } from "./answer.ts";
import { type ControlRequest, RequestReader } from "./request.ts";

/** How long a client may take to ask, and again to read the answer, in milliseconds. */
export const VISIT_MS = 10_000;
// What a client may send behind its request before it is taken for a flood.
const MAX_REST_BYTES = 1024 * 1024;
// What a stream's client may leave unread.
const MAX_UNREAD_BYTES = 256 * 1024;
const MAX_UNREAD_EVENTS = 1_000;

/** Who answers. */
export type Respond = (visitor: Visitor, request: ControlRequest) => void;

/** A client. */
export class Visitor {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #reader = new RequestReader();
  readonly #respond: Respond;
  #state: "asking" | "waiting" | "streaming" | "answered" = "asking";
  #cancel: Disposer;
  #rest = 0;
  #unsent = 0;

  /** @param gone Called once, when nothing of it is left. */
  constructor(socket: Socket, clock: Clock, respond: Respond, gone: (visitor: Visitor) => void) {
    this.#socket = socket;
    this.#clock = clock;
    this.#respond = respond;
    this.#cancel = clock.after(VISIT_MS, () => {
      this.answer(
        refusal(408, `Cannot wait any longer: the request took more than ${VISIT_MS} ms`),
      );
    });
    socket.on("data", (bytes: Uint8Array) => this.#heard(bytes));
    socket.on("end", () => this.#ended());
    // A client that is gone is no failure of ours; `close` follows.
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      this.#cancel();
      this.#state = "answered";
      gone(this);
    });
  }

  /** Answers and says goodbye; a second answer is none. */
  answer(answer: Answer, withBody = true): void {
    if (this.#state === "answered" || this.#state === "streaming") return;
    this.#leave(wire(answer, withBody));
  }

  /** Begins an answer that goes on until {@linkcode finish}. */
  stream(head: string): void {
    if (this.#state !== "waiting") return;
    this.#state = "streaming";
    this.write(head);
  }

  /** Goes on with it; a client that does not read is cut off, before it costs memory. */
  write(text: string): void {
    if (this.#state !== "streaming") return;
    const socket = this.#socket;
    this.#unsent += 1;
    socket.write(text, () => this.#unsent -= 1);
    if (socket.writableLength > MAX_UNREAD_BYTES || this.#unsent > MAX_UNREAD_EVENTS) {
      socket.destroy();
    }
  }

  /** Ends it. */
  finish(): void {
    if (this.#state === "streaming") this.#leave("");
  }

  /** Ends the connection, whatever it is doing. */
  destroy(): void {
    this.#socket.destroy();
  }

  #leave(last: string): void {
    this.#state = "answered";
    this.#cancel();
    this.#cancel = this.#clock.after(VISIT_MS, () => this.#socket.destroy());
    this.#socket.end(last);
  }

  #heard(bytes: Uint8Array): void {
    if (this.#state !== "asking") {
      // Read, so that the answer is not thrown away with it (a Unix socket closed with unread bytes resets its peer).
      this.#rest += bytes.length;
      if (this.#rest > MAX_REST_BYTES) this.#socket.destroy();
      return;
    }
    const { request, refusal: refused } = this.#reader.push(bytes) ?? {};
    if (refused !== undefined) this.answer(refusal(refused.status, refused.message));
    if (request === undefined) return;
    this.#state = "waiting";
    this.#cancel();
    this.#respond(this, request);
  }

  #ended(): void {
    // A client may end its side once it has asked (`nc -N`), and read on; one that follows a stream has left.
    if (this.#state === "streaming") this.#socket.destroy();
    if (this.#state !== "asking") return;
    if (this.#reader.isEmpty) this.#socket.destroy();
    else this.answer(refusal(400, "Cannot read the request: it ended too early"));
  }
}
