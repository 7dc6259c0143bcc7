/**
 * Decodes one HTTP/1.1 response (RFC 9112), as it arrives.
 *
 * Of our own, because `node:http` would cost every start of the program what `node:net` does not (Node 26: some 45 ms).
 *
 * @module
 */

const LONGEST_HEAD = 64 * 1024;
const CR_LF = "\r\n";

type Phase =
  | "head"
  | "length"
  | "chunk-size"
  | "chunk"
  | "chunk-end"
  | "trailer"
  | "until-end"
  | "done";

/** What came is no HTTP response. */
export class ResponseError extends Error {}

/** One response; bytes go in, parts of the body come out. */
export class ResponseDecoder {
  /** Status code; 0 until the head is there. */
  status = 0;
  #phase: Phase = "head";
  #buffer: Uint8Array = new Uint8Array(0);
  /** Bytes left of the body or chunk. */
  #left = 0;

  /** Whether all has come; bytes after that are not looked at. */
  get complete(): boolean {
    return this.#phase === "done";
  }

  /**
   * Takes bytes from the connection.
   *
   * @returns The parts of the body in them.
   * @throws {ResponseError} When they are no response.
   */
  push(bytes: Uint8Array): readonly Uint8Array[] {
    this.#buffer = joined([this.#buffer, bytes]);
    const parts: Uint8Array[] = [];
    while (this.#step(parts)) { /* until there is too little for the next step */ }
    return parts;
  }

  /**
   * The connection has ended.
   *
   * @throws {ResponseError} When the response has not.
   */
  end(): void {
    if (this.#phase === "until-end") this.#phase = "done";
    if (!this.complete) throw new ResponseError("the connection ended before the answer did");
  }

  #step(parts: Uint8Array[]): boolean {
    switch (this.#phase) {
      case "head":
        return this.#head();
      case "chunk-size": {
        const size = this.#line();
        if (size === undefined) return false;
        if (!/^[0-9a-f]{1,8}\s*(?:;.*)?$/i.test(size)) {
          throw new ResponseError("a chunk has no size");
        }
        this.#left = Number.parseInt(size, 16);
        this.#phase = this.#left === 0 ? "trailer" : "chunk";
        return true;
      }
      case "chunk-end": {
        const rest = this.#line();
        if (rest === undefined) return false;
        if (rest !== "") throw new ResponseError("a chunk is longer than it says");
        this.#phase = "chunk-size";
        return true;
      }
      case "trailer": {
        const field = this.#line();
        if (field === "") this.#phase = "done";
        return field !== undefined && field !== "";
      }
      case "length":
      case "chunk": {
        if (this.#buffer.length === 0) return false;
        const part = this.#take(this.#left);
        parts.push(part);
        this.#left -= part.length;
        if (this.#left === 0) this.#phase = this.#phase === "chunk" ? "chunk-end" : "done";
        return true;
      }
      case "until-end":
        if (this.#buffer.length > 0) parts.push(this.#take(this.#buffer.length));
        return false;
      case "done":
        return false;
    }
  }

  #head(): boolean {
    const text = latin1(this.#buffer.subarray(0, LONGEST_HEAD));
    const end = text.indexOf(CR_LF + CR_LF);
    if (!"HTTP/1.".startsWith(text.slice(0, 7))) {
      throw new ResponseError("what answers is not HTTP");
    }
    if (end < 0) {
      if (this.#buffer.length >= LONGEST_HEAD) {
        throw new ResponseError("the answer's head has no end");
      }
      return false;
    }
    this.#take(end + 4);
    const [first = "", ...fields] = text.slice(0, end).split(CR_LF);
    const [, code] = /^HTTP\/1\.[01] ([1-5][0-9][0-9])(?: |$)/.exec(first) ?? [];
    if (code === undefined) throw new ResponseError("what answers is not HTTP");
    if (code.startsWith("1")) return true; // an interim response: the real one follows
    this.status = Number(code);
    const value = (name: string) =>
      fields.find((field) => field.toLowerCase().startsWith(`${name}:`))?.slice(name.length + 1)
        .trim();
    const length = value("content-length");
    if (this.status === 204 || this.status === 304) this.#phase = "done";
    else if (/\bchunked$/i.test(value("transfer-encoding") ?? "")) this.#phase = "chunk-size";
    else if (length === undefined) this.#phase = "until-end";
    else {
      if (!/^[0-9]{1,12}$/.test(length)) {
        throw new ResponseError("the answer's length is no number");
      }
      this.#left = Number(length);
      this.#phase = this.#left === 0 ? "done" : "length";
    }
    return true;
  }

  /** A line without its end, or `undefined` while that has not come. */
  #line(): string | undefined {
    const text = latin1(this.#buffer.subarray(0, LONGEST_HEAD));
    const end = text.indexOf(CR_LF);
    if (end < 0) {
      if (this.#buffer.length >= LONGEST_HEAD) {
        throw new ResponseError("a line of the answer has no end");
      }
      return undefined;
    }
    this.#take(end + 2);
    return text.slice(0, end);
  }

  #take(count: number): Uint8Array {
    const part = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(part.length);
    return part;
  }
}

/** All parts as one. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const filled = parts.filter(({ length }) => length > 0);
  if (filled.length === 1) return filled[0] as Uint8Array;
  const whole = new Uint8Array(filled.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of filled) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// A byte is a character, so that positions in the text are positions in the bytes.
function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 8192)) +
    (bytes.length > 8192 ? latin1(bytes.subarray(8192)) : "");
}
