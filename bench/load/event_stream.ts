/**
 * Server-sent events, as they arrive: what has come of a stream, and whether an event is missing or cut.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { MalformedResponse } from "./response_head.ts";

const LF = 10;
const CR = 13;

/** Reads one stream (HTML Living Standard, section 9.2). Its events must be numbered by ids without a gap. */
export class EventStream {
  #line = "";
  #afterCr = false;
  #fields = false;
  #data = false;
  #id: string | undefined;
  #lastId: number | undefined;
  #events = 0;
  #blocks = 0;
  #retryMs = 0;

  /** Whole events: with data. */
  get events(): number {
    return this.#events;
  }

  /** Empty lines: each ends an event, a hint when to come back, or a comment. */
  get blocks(): number {
    return this.#blocks;
  }

  /** Whether something has come for which the empty line is still owed. */
  get isInEvent(): boolean {
    return this.#fields || this.#line !== "";
  }

  /** How long a client is to wait before it asks again, in ms; 0 when the stream did not say. */
  get retryMs(): number {
    return this.#retryMs;
  }

  /**
   * Reads `bytes` from `start` to `end`.
   *
   * @throws {MalformedResponse} When an event has no id, or not the one after the last.
   */
  read(bytes: Uint8Array, start: number, end: number): void {
    let from = start;
    for (let at = start; at < end; at++) {
      const byte = bytes[at]!;
      if (byte !== LF && byte !== CR) continue;
      // CRLF, which may come in two pieces, is one end of a line.
      if (!(byte === LF && this.#afterCr && at === from)) {
        this.#endLine(this.#line + text(bytes, from, at));
        this.#line = "";
      }
      this.#afterCr = byte === CR;
      from = at + 1;
    }
    if (from === end) return;
    this.#afterCr = false;
    this.#line += text(bytes, from, end);
  }

  #endLine(line: string): void {
    if (line === "") return this.#endBlock();
    const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!;
    if (name === "") return; // a comment
    this.#fields = true;
    if (name === "data") this.#data = true;
    else if (name === "id") this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.#retryMs = Number(value);
  }

  #endBlock(): void {
    const id = this.#id;
    const isEvent = this.#data;
    this.#blocks++;
    this.#fields = this.#data = false;
    this.#id = undefined;
    if (!isEvent) return;
    const last = this.#lastId;
    const number = id !== undefined && /^[0-9]+$/.test(id) ? Number(id) : undefined;
    if (number === undefined) throw new MalformedResponse("An event has no number for an id");
    if (last !== undefined && number !== last + 1) {
      throw new MalformedResponse(number > last ? "Events are missing" : "Events came again");
    }
    this.#lastId = number;
    this.#events++;
  }
}

function text(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString("latin1");
}
