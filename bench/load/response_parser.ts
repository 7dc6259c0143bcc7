/**
 * An incremental parser for HTTP/1.1 responses: bytes in, one whole response at a time out. Pure.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { ChunkedDecoder, type Piece } from "./chunked.ts";
import {
  findHeadEnd,
  looksLikeHttp,
  MalformedResponse,
  parseHead,
  type ResponseHead,
} from "./response_head.ts";

export { MalformedResponse };

const MAX_HEAD_BYTES = 65_536;
const EMPTY: Uint8Array = new Uint8Array(0);

/** A response that was received whole. */
export interface Response {
  readonly status: number;
  /** Whether the connection may carry another request. */
  readonly keepAlive: boolean;
  /** The first bytes of the body, as many as were to be kept; valid until the next tick. */
  readonly body: Uint8Array;
  /** The length of the whole body. */
  readonly bodyBytes: number;
  /** The value of a field by its name in lower case, or `undefined`. */
  field(name: string): string | undefined;
}

/** What the parser has to know about the request that a response answers. */
export interface Expectation {
  /** The answer to HEAD has no body, whatever its head says. */
  readonly head: boolean;
  /** How many bytes of the body to keep; the rest is only counted. */
  readonly keepBytes: number;
  /** Sees the body as it comes. May throw {@linkcode MalformedResponse}. */
  piece?: Piece;
}

/** Parses the responses of one connection, one after the other. */
export class ResponseParser {
  #head: ResponseHead | undefined;
  #headBytes: Uint8Array = EMPTY;
  #chunked: ChunkedDecoder | undefined;
  #left = 0;
  #bodyBytes = 0;
  #keepBytes = 0;
  #seen: Piece | undefined;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #complete = false;
  readonly #piece = (bytes: Uint8Array, start: number, end: number): void => {
    this.#bodyBytes += end - start;
    this.#seen?.(bytes, start, end);
    const wanted = Math.min(end - start, this.#keepBytes - this.#keptBytes);
    if (wanted <= 0) return;
    this.#kept.push(bytes.subarray(start, start + wanted));
    this.#keptBytes += wanted;
  };

  /** Whether a whole response waits to be taken. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Whether a response has begun and is not complete. */
  get partial(): boolean {
    return !this.#complete && (this.#head !== undefined || this.#headBytes.length > 0);
  }

  /**
   * Reads on, at most to the end of the current response.
   *
   * @param from Where in `bytes` to begin.
   * @param expectation The request whose answer this is; must be the same until the response is complete.
   * @returns The index after what was read: less than the length when the response ended before.
   * @throws {MalformedResponse} When this is not HTTP/1.x; the parser cannot be used any more.
   */
  read(bytes: Uint8Array, from: number, expectation: Expectation): number {
    let at = from;
    // More than one round only for interim responses (1xx), which precede the real one.
    while (!this.#complete && at < bytes.length) {
      at = this.#head === undefined
        ? this.#readHead(bytes, at, expectation)
        : this.#readBody(this.#head, bytes, at);
    }
    return at;
  }

  /**
   * The connection has ended. Completes a response whose body lasts until then.
   *
   * @returns Whether a response is complete now.
   */
  end(): boolean {
    if (this.#head?.framing.kind === "until-close") this.#complete = true;
    return this.#complete;
  }

  /**
   * Takes what has come of a body for the whole of it.
   *
   * @returns Whether a response is complete now: not before its head has come.
   */
  conclude(): boolean {
    if (this.#head !== undefined) this.#complete = true;
    return this.#complete;
  }

  /** The complete response; the parser is ready for the next one. */
  take(): Response {
    const head = this.#head;
    if (head === undefined || !this.#complete) {
      throw new Error("Cannot take: no response is complete");
    }
    const response: Response = {
      status: head.status,
      // A body that lasts until the connection's end leaves no connection.
      keepAlive: head.keepAlive && (this.#chunked !== undefined || this.#left === 0),
      body: this.#kept.length === 1 ? this.#kept[0]! : Buffer.concat(this.#kept),
      bodyBytes: this.#bodyBytes,
      field: (name) => head.field(name),
    };
    this.#head = undefined;
    this.#chunked = undefined;
    this.#left = this.#bodyBytes = this.#keptBytes = 0;
    this.#kept = [];
    this.#complete = false;
    return response;
  }

  #readHead(bytes: Uint8Array, from: number, expectation: Expectation): number {
    const before = this.#headBytes.length;
    const all = before === 0 ? bytes : Buffer.concat([this.#headBytes, bytes.subarray(from)]);
    const start = before === 0 ? from : 0;
    const end = findHeadEnd(all, start);
    if (end < 0) {
      if (!looksLikeHttp(all, start)) throw new MalformedResponse("This is not HTTP/1.x");
      if (all.length - start > MAX_HEAD_BYTES) throw new MalformedResponse("The head is too long");
      this.#headBytes = all.subarray(start);
      return bytes.length;
    }
    this.#headBytes = EMPTY;
    const head = parseHead(all, start, end);
    if (head.status >= 200 || head.status === 101) this.#begin(head, expectation);
    return before === 0 ? end : from + end - before;
  }

  #begin(head: ResponseHead, { head: isHead, keepBytes, piece }: Expectation): void {
    this.#head = head;
    this.#keepBytes = keepBytes;
    this.#seen = piece;
    const { status, framing } = head;
    if (isHead || status === 204 || status === 304 || status === 101) {
      this.#complete = true;
    } else if (framing.kind === "length") {
      this.#left = framing.bytes;
      this.#complete = framing.bytes === 0;
    } else if (framing.kind === "chunked") {
      this.#chunked = new ChunkedDecoder();
    } else {
      this.#left = Infinity;
    }
  }

  #readBody(head: ResponseHead, bytes: Uint8Array, from: number): number {
    if (this.#chunked !== undefined) {
      const at = this.#chunked.read(bytes, from, this.#piece);
      this.#complete = this.#chunked.done;
      return at;
    }
    const end = Math.min(bytes.length, from + this.#left);
    this.#piece(bytes, from, end);
    this.#left -= end - from;
    this.#complete = head.framing.kind === "length" && this.#left === 0;
    return end;
  }
}
