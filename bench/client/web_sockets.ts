/**
 * WebSocket clients that count every message: text out, the same text back, next one. Raw sockets, no retries.
 *
 * They look at all that has come with one read before they send the next message, as a program does that awaits its answers:
 * one that sends in the very handler of an answer does so before it knows of a close frame right behind it.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { clearTimeout, setTimeout } from "node:timers";
import type { Outcome } from "../load/outcome.ts";
import { type WindowReport, Windows } from "../load/windows.ts";

/** What to ask of which server. */
export interface WebSocketOptions {
  readonly port: number;
  readonly clients: number;
  /** Pause between an echo and the next message. */
  readonly thinkMs: number;
  /** For an echo, or for a connection. */
  readonly timeoutMs: number;
}

/** The account. */
export interface WebSocketReport {
  /** Messages that were written. */
  readonly sent: number;
  readonly answered: number;
  /** Messages without their echo, and connections that could not be opened. */
  readonly lost: number;
  readonly lossKinds: Readonly<Record<string, number>>;
  /** Close codes that servers gave; `none`: the connection ended without a close frame. */
  readonly closes: Readonly<Record<string, number>>;
  readonly windows: readonly WindowReport[];
}

/** So often a client that finds nobody tries again. */
const AFTER_REFUSAL_MS = 10;

/** Clients of one server. */
export class WebSocketLoad {
  readonly options: WebSocketOptions;
  readonly windows: Windows;
  readonly #clients = new Set<Client>();
  readonly #lossKinds: Map<string, number> = new Map();
  readonly #closes: Map<string, number> = new Map();
  #sent = 0;
  #answered = 0;
  #lost = 0;
  #allGone = () => {};
  stopping = false;

  constructor(options: WebSocketOptions, label: string) {
    this.options = options;
    this.windows = new Windows(label, performance.now());
    for (let n = 0; n < options.clients; n++) {
      const client = new Client(this, n);
      this.#clients.add(client);
      client.dial();
    }
  }

  /** Begins another window. */
  mark(label: string): void {
    this.windows.mark(label, performance.now());
  }

  /** Sends nothing new, waits for what is under way, and reports. */
  async stop(): Promise<WebSocketReport> {
    this.stopping = true;
    const gone = new Promise<void>((resolve) => this.#allGone = resolve);
    for (const client of [...this.#clients]) client.stop();
    if (this.#clients.size > 0) await gone;
    return {
      sent: this.#sent,
      answered: this.#answered,
      lost: this.#lost,
      lossKinds: Object.fromEntries(this.#lossKinds),
      closes: Object.fromEntries(this.#closes),
      windows: this.windows.report(performance.now()),
    };
  }

  sent(): void {
    this.#sent++;
  }

  answered(window: number, latencyMs: number): void {
    this.#answered++;
    this.windows.record(window, "answered", latencyMs);
  }

  lost(kind: string, outcome: Outcome, window: number): void {
    this.#lost++;
    count(this.#lossKinds, kind);
    this.windows.record(window, outcome, 0);
  }

  closed(code: string): void {
    count(this.#closes, code);
  }

  left(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size === 0) this.#allGone();
  }
}

class Client {
  readonly #load: WebSocketLoad;
  readonly #name: number;
  #socket: Socket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #received: Buffer = Buffer.alloc(0);
  #open = false;
  #closeCode: string | undefined;
  #number = 0;
  #pending:
    | { readonly text: string; readonly begunMs: number; readonly window: number }
    | undefined;

  constructor(load: WebSocketLoad, name: number) {
    this.#load = load;
    this.#name = name;
  }

  dial(): void {
    if (this.#load.stopping) return this.#load.left(this);
    this.#received = Buffer.alloc(0);
    this.#open = false;
    this.#closeCode = undefined;
    const { port, timeoutMs } = this.#load.options;
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.#socket = socket;
    this.#limit(timeoutMs);
    let error = "eof";
    socket.once("connect", () => socket.write(handshake(port)));
    socket.on("data", (bytes: Buffer) => this.#receive(bytes));
    socket.once("end", () => socket.end());
    socket.once("error", ({ code }: NodeJS.ErrnoException) => error = code ?? "error");
    socket.once("close", () => this.#gone(error));
  }

  stop(): void {
    if (this.#pending !== undefined) return;
    clearTimeout(this.#timer);
    if (this.#socket === undefined) this.#load.left(this);
    else this.#socket.destroy();
  }

  #limit(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#socket?.destroy(timedOut()), ms);
  }

  #receive(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    if (!this.#open) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end === -1) return;
      if (!this.#received.toString("latin1", 0, 12).endsWith(" 101")) {
        return void this.#socket?.destroy(new Error("refused"));
      }
      this.#received = this.#received.subarray(end + 4);
      this.#open = true;
      this.#send();
    }
    // What comes behind a close frame does not count: no client reads it (RFC 6455, 5.5.1).
    let isAnswered = false;
    while (this.#closeCode === undefined) {
      const frame = parseFrame(this.#received);
      if (frame === undefined) break;
      this.#received = this.#received.subarray(frame.length);
      if (frame.opcode === 1) isAnswered = this.#isEcho(frame.payload.toString());
      else if (frame.opcode === 8) this.#goodbye(frame.payload);
      else if (frame.opcode === 9) this.#socket?.write(frameOf(10, frame.payload));
    }
    if (isAnswered && this.#closeCode === undefined) this.#next();
  }

  #send(): void {
    if (this.#load.stopping) return this.stop();
    const text = `${this.#name}-${this.#number++}`;
    this.#pending = { text, begunMs: performance.now(), window: this.#load.windows.current };
    this.#load.sent();
    this.#limit(this.#load.options.timeoutMs);
    this.#socket?.write(frameOf(1, Buffer.from(text)));
  }

  #isEcho(text: string): boolean {
    const pending = this.#pending;
    if (pending === undefined || pending.text !== text) {
      this.#socket?.destroy(new Error("wrong echo"));
      return false;
    }
    this.#pending = undefined;
    clearTimeout(this.#timer);
    this.#load.answered(pending.window, performance.now() - pending.begunMs);
    return true;
  }

  #next(): void {
    const { thinkMs } = this.#load.options;
    if (this.#load.stopping) this.stop();
    else if (thinkMs === 0) this.#send();
    else this.#timer = setTimeout(() => this.#send(), thinkMs);
  }

  // Nothing is sent after a close frame was seen, and it is answered at once, as browsers do.
  #goodbye(payload: Buffer): void {
    this.#closeCode = payload.length >= 2 ? String(payload.readUInt16BE(0)) : "no code";
    if (this.#pending === undefined) this.#limit(this.#load.options.timeoutMs);
    this.#socket?.end(frameOf(8, payload.subarray(0, 2)));
  }

  #gone(error: string): void {
    clearTimeout(this.#timer);
    const load = this.#load;
    this.#socket = undefined;
    if (this.#open) load.closed(this.#closeCode ?? "none");
    if (this.#pending !== undefined) {
      const kind = this.#closeCode === undefined ? error : `${error} after a close frame`;
      load.lost(kind, outcomeOf(error), this.#pending.window);
      this.#pending = undefined;
    } else if (!this.#open && !load.stopping) {
      load.lost(`not connected: ${error}`, "refused", load.windows.current);
      this.#timer = setTimeout(() => this.dial(), AFTER_REFUSAL_MS);
      return;
    }
    this.dial();
  }
}

function outcomeOf(error: string): Outcome {
  if (error === "ETIMEDOUT") return "timed-out";
  return error === "eof" ? "eof-before-response" : "reset-before-response";
}

function timedOut(): NodeJS.ErrnoException {
  return Object.assign(new Error("No echo in time"), { code: "ETIMEDOUT" });
}

function handshake(port: number): string {
  const key = randomBytes(16).toString("base64");
  return `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`;
}

/** A masked frame of a client, as RFC 6455, section 5.2 has it; the payload is short. */
export function frameOf(opcode: number, payload: Uint8Array): Buffer {
  if (payload.length > 125) throw new RangeError("Cannot frame more than 125 bytes");
  const mask = randomBytes(4);
  const frame = Buffer.alloc(6 + payload.length);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | payload.length;
  mask.copy(frame, 2);
  for (let index = 0; index < payload.length; index++) {
    frame[6 + index] = payload[index]! ^ mask[index % 4]!;
  }
  return frame;
}

/** The first frame of what a server has sent, or `undefined` as long as it is not whole. */
export function parseFrame(
  bytes: Buffer,
): { readonly opcode: number; readonly payload: Buffer; readonly length: number } | undefined {
  if (bytes.length < 2) return undefined;
  let size = bytes[1]! & 0x7f;
  let at = 2;
  if (size === 126) {
    if (bytes.length < 4) return undefined;
    size = bytes.readUInt16BE(2);
    at = 4;
  } else if (size === 127) throw new RangeError("Cannot read a frame of more than 64 KiB");
  if (bytes.length < at + size) return undefined;
  return { opcode: bytes[0]! & 0x0f, payload: bytes.subarray(at, at + size), length: at + size };
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
