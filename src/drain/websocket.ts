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
import process from "node:process";
import type { Clock } from "../backend/backend.ts";
import type { Connection } from "./net.ts";

// FIN and opcode 8, two bytes of payload: 1012.
const CLOSE: Uint8Array = Uint8Array.of(0x88, 0x02, 0x03, 0xf4);

// Bun's own implementation of "ws" writes past `socket.write`, whole frames at a time; what we write while it holds back
// a part of one is not sent at all. So there it is written blindly, once the handshake was surely answered, and again
// while the client does not answer.
const BLIND: boolean = process.versions["bun"] !== undefined;
const AGAIN_MS = 1_000;
// A head longer than that is none of a handshake.
const MAX_HEAD = 16_384;

/** Follows what a server sends on a connection from the handshake's answer on. */
export class FrameTracker {
  /** What comes next: the answer to the handshake, the head of a frame, its payload; or it is no WebSocket. */
  #state: "nothing" | "answer" | "head" | "payload" | "closed" | "unknown" = "nothing";
  #answer = "";
  #head: number[] = [];
  #left = 0;

  /** Whether a frame may begin here. */
  get isBetweenFrames(): boolean {
    return this.#state === "head" && this.#head.length === 0;
  }

  /** Nothing has passed. */
  get isSilent(): boolean {
    return this.#state === "nothing";
  }

  /** Takes what is sent next. */
  take(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === "payload") {
        const skip = Math.min(this.#left, bytes.length - at);
        this.#left -= skip;
        at += skip;
        if (this.#left === 0) this.#state = "head";
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
    if (((head[0] as number) & 0x0f) === 8) this.#state = "closed";
    else if (this.#left > 0) this.#state = "payload";
  }
}

type Write = (chunk: Uint8Array | string, ...rest: unknown[]) => unknown;

/** The farewell to one WebSocket client. */
export class WebSocketFarewell {
  /** Whether the client was told. */
  told = false;
  readonly #connection: Connection;
  readonly #write: Write;
  readonly #tracker = new FrameTracker();
  readonly #made = performance.now();
  #wanted = false;
  #sent: (() => void) | undefined;

  /** To be made before the server has answered the handshake. */
  constructor(connection: Connection) {
    this.#connection = connection;
    const write = connection.write as Write;
    this.#write = (...args) => write.apply(connection, args);
    connection.write = (chunk: Uint8Array | string, ...rest: unknown[]) => {
      const encoding = typeof rest[0] === "string" ? rest[0] as BufferEncoding : "utf8";
      this.#tracker.take(typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk);
      // Libraries write head and payload of a frame one after the other.
      if (!this.#wanted || !this.#tracker.isBetweenFrames) return this.#write(chunk, ...rest);
      // With one system call: between two, the client could send its next message, which nobody would answer.
      connection.cork?.();
      try {
        const more = this.#write(chunk, ...rest);
        this.#tell();
        return more;
      } finally {
        connection.uncork?.();
      }
    };
  }

  /** Sends the close frame after `wait`, as soon as one may be sent; ends a connection whose client does not react. */
  say(clock: Clock, wait: number, graceMs: number): void {
    clock.after(wait, () => {
      this.#sent = () => this.#expectAnswer(clock, graceMs);
      this.#wanted = true;
      if (this.#tracker.isBetweenFrames) this.#tell();
      else if (BLIND) {
        const age = performance.now() - this.#made;
        clock.after(Math.max(0, AGAIN_MS - age), () => this.#tellBlindly(clock));
      }
    });
  }

  #tell(): void {
    this.#wanted = false;
    this.told = true;
    this.#write(CLOSE);
    this.#sent?.();
  }

  #tellBlindly(clock: Clock): void {
    if (!this.#tracker.isSilent || this.#connection.destroyed) return;
    if (this.told) this.#write(CLOSE);
    else this.#tell();
    clock.after(AGAIN_MS, () => this.#tellBlindly(clock));
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
