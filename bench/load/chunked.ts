/**
 * The chunked transfer coding (RFC 9112, section 7.1), decoded incrementally. Pure.
 *
 * @module
 */

import { MalformedResponse } from "./response_head.ts";

const LF = 10;
const CR = 13;
const SEMICOLON = 59;
const MAX_SIZE = 2 ** 40;

/** Receives a piece of the decoded body: `bytes` from `start` to `end`. */
export type Piece = (bytes: Uint8Array, start: number, end: number) => void;

type State =
  | "size"
  | "extension"
  | "size-lf"
  | "data"
  | "data-cr"
  | "data-lf"
  | "trailer"
  | "end-lf";

/** Decodes one chunked body. */
export class ChunkedDecoder {
  #state: State = "size";
  #size = 0;
  #digits = 0;
  #trailerLength = 0;

  /** Whether the last chunk and the trailer have been read. */
  done = false;

  /**
   * Reads on from `from`.
   *
   * @returns The index after what belongs to this body.
   * @throws {MalformedResponse} When the coding is broken.
   */
  read(bytes: Uint8Array, from: number, piece: Piece): number {
    let at = from;
    while (at < bytes.length && !this.done) {
      if (this.#state === "data") {
        const end = Math.min(bytes.length, at + this.#size);
        piece(bytes, at, end);
        this.#size -= end - at;
        at = end;
        if (this.#size === 0) this.#state = "data-cr";
      } else {
        this.#step(bytes[at++]!);
      }
    }
    return at;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case "size":
        return this.#sizeByte(byte);
      case "extension":
        if (byte === CR) this.#state = "size-lf";
        return;
      case "size-lf":
        expect(byte, LF);
        this.#digits = 0;
        this.#state = this.#size === 0 ? "trailer" : "data";
        return;
      case "data-cr":
        expect(byte, CR);
        this.#state = "data-lf";
        return;
      case "data-lf":
        expect(byte, LF);
        this.#state = "size";
        return;
      case "trailer":
        // Trailer fields are skipped; an empty line ends them.
        if (byte === CR && this.#trailerLength === 0) this.#state = "end-lf";
        else this.#trailerLength = byte === LF ? 0 : this.#trailerLength + 1;
        return;
      case "end-lf":
        expect(byte, LF);
        this.done = true;
        return;
      case "data":
        return;
    }
  }

  #sizeByte(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#size = this.#size * 16 + digit;
      this.#digits++;
      if (this.#size > MAX_SIZE) throw new MalformedResponse("A chunk is too large");
    } else if (this.#digits > 0 && (byte === CR || byte === SEMICOLON || byte === 32)) {
      this.#state = byte === CR ? "size-lf" : "extension";
    } else {
      throw new MalformedResponse("A chunk has no size");
    }
  }
}

function expect(byte: number, wanted: number): void {
  if (byte !== wanted) throw new MalformedResponse("A chunk does not end in CRLF");
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
