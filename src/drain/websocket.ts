/**
 * Tells a WebSocket client to reconnect: close code 1012, "service restart", without the application's help.
 *
 * A close frame is a control frame: it may stand between any two frames, but not inside of one (RFC 6455, 5.4 and 5.5).
 * So what the server writes is followed frame by frame, whichever library or proxy writes it. The client answers with a
 * close frame, at which the application's library closes the connection.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Clock } from "../backend/backend.ts";
import { bunConversation } from "./bun_websocket.ts";
import { closeBehindMessage, QUIET_MS, unchangedMs } from "./last_message.ts";
import type { Connection } from "./net.ts";

// FIN and opcode 8, two bytes of payload: 1012.
const CLOSE: Uint8Array = Uint8Array.of(0x88, 0x02, 0x03, 0xf4);

// A head longer than that is none of a handshake.
const MAX_HEAD = 16_384;

/** Follows what a server sends on a connection from the handshake's answer on. */
export class FrameTracker {
  /** What comes next: the answer to the handshake, the head of a frame, its payload; or it is no WebSocket. */
  #state: "nothing" | "answer" | "head" | "payload" | "closed" | "unknown" = "nothing";
  #answer = "";
  #head: number[] = [];
  #left = 0;
  #isLast = false;

  /** How many messages were sent whole. */
  messages = 0;

  /** Whether a frame may begin here. */
  get isBetweenFrames(): boolean {
    return this.#state === "head" && this.#head.length === 0;
  }

  /** Nothing has passed. */
  get isSilent(): boolean {
    return this.#state === "nothing";
  }

  /** Whether no frame can follow: a close frame was sent, or it is no WebSocket. */
  get isOver(): boolean {
    return this.#state === "closed" || this.#state === "unknown";
  }

  /** Takes what is sent next. */
  take(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === "payload") {
        const skip = Math.min(this.#left, bytes.length - at);
        this.#left -= skip;
        at += skip;
        if (this.#left === 0) this.#endFrame();
      } else if (this.#state === "head") this.#takeHead(bytes[at++] as number);
      else if (this.#state === "nothing" || this.#state === "answer") {
        this.#takeAnswer(bytes[at++] as number);
      } else return;
    }
  }

  #takeAnswer(byte: number): void {
    this.#state = "answer";
    this.#answer += String.fromCharCode(byte);
    if (this.#answer.endsWith("\r\n\r\n")) {
      this.#state = /^HTTP\/1\.1 101\b/.test(this.#answer) ? "head" : "unknown";
      this.#answer = "";
    } else if (this.#answer.length > MAX_HEAD) this.#state = "unknown";
  }

  #takeHead(byte: number): void {
    const head = this.#head;
    head.push(byte);
    const short = head[1];
    if (short === undefined) return;
    // A server's frames are not masked.
    if (short > 127) {
      this.#state = "unknown";
      return;
    }
    const size = short === 126 ? 2 : short === 127 ? 8 : 0;
    if (head.length < 2 + size) return;
    this.#left = size === 0 ? short : head.slice(2).reduce((sum, part) => sum * 256 + part, 0);
    this.#head = [];
    const first = head[0] as number;
    const opcode = first & 0x0f;
    // FIN on anything but a control frame.
    this.#isLast = first > 127 && opcode < 8;
    if (opcode === 8) this.#state = "closed";
    else if (this.#left > 0) this.#state = "payload";
    else this.#endFrame();
  }

  #endFrame(): void {
    this.#state = "head";
    if (this.#isLast) this.messages += 1;
  }
}

/** A WebSocket, however it is written to. */
export interface Conversation {
  /** Whether it can still be closed. */
  readonly isOpen: boolean;
  /** Grows when the client says something. */
  readonly heard: number;
  /** Calls `then` once, right behind the next message that the server sends. */
  onNextMessage(then: () => void): void;
  /** Sends a close frame as soon as one may be sent; then calls `sent`. */
  close(sent: () => void): void;
}

type Write = (chunk: Uint8Array | string, ...rest: unknown[]) => unknown;

/** The farewell to one WebSocket client. */
export class WebSocketFarewell {
  /** Whether the client was told. */
  told = false;
  readonly #connection: Connection;
  readonly #write: Write;
  readonly #tracker = new FrameTracker();
  /** What passes through the connection. */
  readonly #conversation: Conversation;
  /** Our close frame has passed through the connection. */
  #isClosed = false;
  /** Of the drain. */
  #clock: Clock | undefined;
  /** Called behind the next message. */
  #then: (() => void) | undefined;
  /** Called behind the next frame. */
  #soon: (() => void) | undefined;

  /** To be made before the server has answered the handshake. */
  constructor(connection: Connection) {
    this.#connection = connection;
    const tracker = this.#tracker;
    const isOpen = () => !this.told && !tracker.isOver && !connection.destroyed;
    this.#conversation = {
      get isOpen() {
        return isOpen();
      },
      get heard() {
        return connection.bytesRead ?? 0;
      },
      onNextMessage: (then) => this.#then = then,
      close: (sent) => {
        const send = () => {
          this.#isClosed = true;
          this.#write(CLOSE);
          sent();
        };
        if (tracker.isBetweenFrames) send();
        else this.#soon = send;
      },
    };
    const write = connection.write as Write;
    this.#write = (...args) => write.apply(connection, args);
    connection.write = (chunk: Uint8Array | string, ...rest: unknown[]) => {
      // Nothing follows a close frame (RFC 6455, 5.5.1); clients take it for an error.
      if (this.#isClosed) return dropped(rest);
      const { messages } = tracker;
      const encoding = typeof rest[0] === "string" ? rest[0] as BufferEncoding : "utf8";
      tracker.take(typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk);
      // Libraries write head and payload of a frame one after the other.
      const then = this.#soon ?? (tracker.messages > messages ? this.#then : undefined);
      if (then === undefined || !tracker.isBetweenFrames) return this.#write(chunk, ...rest);
      // With one system call: between two, the client could send its next message, which nobody would answer.
      connection.cork?.();
      try {
        const more = this.#write(chunk, ...rest);
        then();
        return more;
      } finally {
        connection.uncork?.();
      }
    };
  }

  /**
   * Closes it when its turn has come, behind a message; ends a connection whose client does not react.
   *
   * @param waitMs Until its turn.
   * @param timeLeftMs Until it is cut.
   */
  say(clock: Clock, waitMs: number, graceMs: number, timeLeftMs: number): void {
    this.#clock = clock;
    clock.after(waitMs, () => {
      const leftMs = timeLeftMs - waitMs;
      const conversation = bunConversation(this.#connection) ?? this.#conversation;
      // The handshake may take its time.
      if (this.#tracker.isSilent && conversation === this.#conversation) {
        if (!this.#connection.destroyed) this.say(clock, QUIET_MS, graceMs, leftMs);
        return;
      }
      const isOpen = () => conversation.isOpen && this.#clock === clock;
      closeBehindMessage(
        {
          get isOpen() {
            return isOpen();
          },
          quietMs: unchangedMs(clock, () => conversation.heard),
          onNextMessage: (then) => conversation.onNextMessage(then),
          close: () =>
            conversation.close(() => {
              this.told = true;
              this.#expectAnswer(clock, graceMs);
            }),
        },
        clock,
        leftMs,
      );
    });
  }

  /** The drain came to nothing: the client is not told. */
  keep(): void {
    this.#clock = undefined;
    this.#then = undefined;
    this.#soon = undefined;
  }

  #expectAnswer(clock: Clock, graceMs: number): void {
    const { bytesRead } = this.#connection;
    clock.after(graceMs, () => {
      if (this.#connection.destroyed) return;
      // A long message may be on its way in front of the answer.
      if (bytesRead !== this.#connection.bytesRead) return this.#expectAnswer(clock, graceMs);
      // A client that reads slowly may not have come to our frame: the kernel still holds what is in front of it, and
      // destroying would throw that away as soon as the client sends something (RST). So first FIN, behind all of it.
      this.#connection.end();
      clock.after(graceMs, () => this.#connection.destroyed || this.#connection.destroy());
    });
  }
}

/** What a stream does with what it is given, without doing it. */
function dropped(rest: readonly unknown[]): boolean {
  const done = rest.at(-1);
  if (typeof done === "function") queueMicrotask(() => done());
  return true;
}
