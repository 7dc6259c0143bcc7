/**
 * The head of an HTTP/1.1 response: status line and fields (RFC 9112, sections 4 to 6). Pure.
 *
 * @module
 */

const LF = 10;
const CR = 13;
const SPACE = 32;
const COLON = 58;
const VERSION = [72, 84, 84, 80, 47, 49, 46]; // "HTTP/1."

/** How long a response's body is, before the request's method is considered. */
export type Framing =
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "until-close" };

/** A parsed response head. */
export interface ResponseHead {
  /** The status code, 100 to 999. */
  readonly status: number;
  readonly framing: Framing;
  /** Whether the connection may carry another request after this response (RFC 9112, section 9.3). */
  readonly keepAlive: boolean;
  /**
   * The value of the first field of that name, or `undefined`.
   *
   * @param name In lower case.
   */
  field(name: string): string | undefined;
}

/** A response that is not HTTP/1.1: a server that says this has given a wrong answer. */
export class MalformedResponse extends Error {
  override readonly name = "MalformedResponse";
}

/**
 * Finds where a head ends.
 *
 * @returns The index after the empty line, or -1 when the head is not complete yet.
 */
export function findHeadEnd(bytes: Uint8Array, from: number): number {
  for (let at = from; at < bytes.length; at++) {
    if (bytes[at] !== LF || at - from < 3) continue;
    if (bytes[at - 1] === CR && bytes[at - 2] === LF) return at + 1;
  }
  return -1;
}

/** Whether these bytes can be the beginning of an HTTP/1.x response. */
export function looksLikeHttp(bytes: Uint8Array, from: number): boolean {
  const length = Math.min(VERSION.length, bytes.length - from);
  for (let at = 0; at < length; at++) {
    if (bytes[from + at] !== VERSION[at]) return false;
  }
  return true;
}

/**
 * Parses a complete head.
 *
 * @param bytes Holds the head from `from` to `end`, the index after the empty line.
 * @throws {MalformedResponse} When it is not a well-formed HTTP/1.x head.
 */
export function parseHead(bytes: Uint8Array, from: number, end: number): ResponseHead {
  const status = parseStatus(bytes, from);
  const head = new Head(bytes.subarray(from, end), status, bytes[from + 7] === 48);
  return head;
}

class Head implements ResponseHead {
  readonly status: number;
  readonly framing: Framing;
  readonly keepAlive: boolean;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, status: number, old: boolean) {
    this.#bytes = bytes;
    this.status = status;
    let length = -1;
    let coding: string | undefined;
    let connection = "";
    for (let at = lineEnd(bytes, 0); at < bytes.length - 2; at = lineEnd(bytes, at)) {
      const colon = fieldColon(bytes, at);
      // Only three names matter here, and their lengths tell them apart from nearly all others.
      switch (colon - at) {
        case 14:
          if (isName(bytes, at, "content-length")) {
            length = parseLength(valueOf(bytes, colon), length);
          }
          break;
        case 17:
          if (isName(bytes, at, "transfer-encoding")) coding = valueOf(bytes, colon).toLowerCase();
          break;
        case 10:
          if (isName(bytes, at, "connection")) connection += `,${valueOf(bytes, colon)}`;
          break;
      }
    }
    if (coding !== undefined) {
      this.framing = { kind: /(?:^|,)\s*chunked$/.test(coding) ? "chunked" : "until-close" };
    } else {
      this.framing = length >= 0 ? { kind: "length", bytes: length } : { kind: "until-close" };
    }
    this.keepAlive = connection === "" ? !old : !hasToken(connection, "close") &&
      (!old || hasToken(connection, "keep-alive"));
  }

  field(name: string): string | undefined {
    const bytes = this.#bytes;
    for (let at = lineEnd(bytes, 0); at < bytes.length - 2; at = lineEnd(bytes, at)) {
      const colon = fieldColon(bytes, at);
      if (colon - at === name.length && isName(bytes, at, name)) return valueOf(bytes, colon);
    }
    return undefined;
  }
}

function parseStatus(bytes: Uint8Array, from: number): number {
  let status = 0;
  for (let at = from + 9; at < from + 12; at++) {
    const digit = bytes[at]! - 48;
    status = digit >= 0 && digit <= 9 ? status * 10 + digit : NaN;
  }
  const minor = bytes[from + 7];
  const after = bytes[from + 12];
  if (
    !looksLikeHttp(bytes, from) || (minor !== 48 && minor !== 49) || bytes[from + 8] !== SPACE ||
    !(status >= 100) || (after !== SPACE && after !== CR)
  ) throw new MalformedResponse("The status line is not that of HTTP/1.0 or HTTP/1.1");
  return status;
}

function lineEnd(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== LF) at++;
  if (bytes[at - 1] !== CR) throw new MalformedResponse("A line of the head does not end in CRLF");
  return at + 1;
}

function fieldColon(bytes: Uint8Array, from: number): number {
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === COLON && at > from) return at;
    // A space here is either before the colon or a folded line: both are forbidden (RFC 9112, 5.1 and 5.2).
    if (byte <= SPACE || byte === COLON) break;
  }
  throw new MalformedResponse("A line of the head is not a field");
}

function isName(bytes: Uint8Array, from: number, name: string): boolean {
  for (let at = 0; at < name.length; at++) {
    const byte = bytes[from + at]!;
    const lower = byte >= 65 && byte <= 90 ? byte + 32 : byte;
    if (lower !== name.charCodeAt(at)) return false;
  }
  return true;
}

function valueOf(bytes: Uint8Array, colon: number): string {
  let value = "";
  for (let at = colon + 1; bytes[at] !== CR && bytes[at] !== LF; at++) {
    value += String.fromCharCode(bytes[at]!);
  }
  return value.trim();
}

function parseLength(value: string, before: number): number {
  if (!/^[0-9]{1,15}$/.test(value) || (before >= 0 && before !== Number(value))) {
    throw new MalformedResponse(`The content length is not usable: "${value}"`);
  }
  return Number(value);
}

function hasToken(list: string, token: string): boolean {
  return list.toLowerCase().split(",").some((part) => part.trim() === token);
}
