/**
 * An HTTP/2 client that says exactly which streams were answered: it opens none after a GOAWAY and repeats nothing.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import net from "node:net";
import tls from "node:tls";
import type { Target } from "./chain.ts";

interface Asked {
  body: string;
  resolve(body: string): void;
  reject(error: Error): void;
}

const DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7;
const ACK = 1, END_STREAM = 1, END_HEADERS = 4;

/** One frame (RFC 9113, 4.1). */
function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A connection that speaks HTTP/2. */
export class Http2Wire {
  /** What the newest GOAWAY says; `undefined` before the first. */
  lastStream: number | undefined;
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<void>;
  readonly #socket: net.Socket;
  readonly #asked = new Map<number, Asked>();
  #next = 1;
  #pending: Buffer = Buffer.alloc(0);

  /** Connects. */
  constructor(target: Target, secure: boolean) {
    const options = { ...target, rejectUnauthorized: false, servername: "localhost" };
    this.#socket = secure
      ? tls.connect({ ...options, ALPNProtocols: ["h2"] })
      : net.connect(target);
    this.#socket.write(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    this.#socket.write(frame(SETTINGS, 0, 0, new Uint8Array()));
    this.#socket.on("data", (bytes: Uint8Array | string) => this.#take(bytes as Uint8Array));
    this.#socket.on("error", () => {});
    this.#socket.on("end", () => this.#socket.end());
    this.closed = new Promise((resolve) =>
      this.#socket.on("close", () => {
        for (const { reject } of this.#asked.values()) reject(new Error("not answered"));
        resolve();
      })
    );
  }

  /** One GET. @returns The body. */
  ask(path: string): Promise<string> {
    const stream = this.#next;
    this.#next += 2;
    // GET and http from the static table, then :path and :authority as literals that are not indexed (RFC 7541).
    const fields = Buffer.concat([
      Buffer.from([0x82, 0x86, 0x04, path.length]),
      Buffer.from(path),
      Buffer.from([0x01, 1]),
      Buffer.from("a"),
    ]);
    return new Promise((resolve, reject) => {
      this.#asked.set(stream, { body: "", resolve, reject });
      this.#socket.write(frame(HEADERS, END_STREAM | END_HEADERS, stream, fields));
    });
  }

  /** Ends it from this side. */
  destroy(): void {
    this.#socket.destroy();
  }

  #take(bytes: Uint8Array): void {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    while (this.#pending.length >= 9) {
      const end = 9 + this.#pending.readUIntBE(0, 3);
      if (this.#pending.length < end) return;
      const [type = 0, flags = 0] = this.#pending.subarray(3, 5);
      const stream = this.#pending.readUInt32BE(5);
      const payload = Buffer.from(this.#pending.subarray(9, end));
      this.#pending = this.#pending.subarray(end);
      this.#frame(type, flags, stream, payload);
    }
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer): void {
    const asked = this.#asked.get(stream);
    if ((type === SETTINGS || type === PING) && (flags & ACK) === 0) {
      const echo = type === PING ? payload : new Uint8Array();
      this.#socket.write(frame(type, ACK, 0, echo));
    } else if (type === GOAWAY) this.lastStream = payload.readUInt32BE(0);
    else if (type === RST_STREAM) asked?.reject(new Error(`reset with ${payload.readUInt32BE(0)}`));
    else if ((type === DATA || type === HEADERS) && asked !== undefined) {
      if (type === DATA) asked.body += payload.toString();
      if ((flags & END_STREAM) === 0) return;
      this.#asked.delete(stream);
      asked.resolve(asked.body);
    }
  }
}
