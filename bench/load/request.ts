/**
 * The requests that are sent, and the verdict on what came back.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { EventStream } from "./event_stream.ts";
import type { Expectation, Response } from "./response_parser.ts";

/** What the server does with the body of a POST: sends it back, or says `<length> <sha256 in hex>`. */
export type Echo = "body" | "digest";

/** One request, ready to be written, and what must come back. */
export interface Request extends Expectation {
  readonly bytes: Uint8Array;
  /** The body that the response must have; `undefined` for any. */
  readonly expected: Uint8Array | undefined;
  /** What reads the answer, when that is a stream of events. */
  readonly stream?: EventStream;
}

/** What to build requests from. */
export interface RequestTemplate {
  readonly method: "GET" | "HEAD" | "POST";
  readonly host: string;
  readonly path: string;
  /** Asks the server to close the connection after the response. */
  readonly close: boolean;
  /** Length of a POST's body. */
  readonly bodyBytes: number;
  readonly echo: Echo;
  readonly headers: Readonly<Record<string, string>>;
  /** Asks for a stream of events. */
  readonly events: boolean;
  /** Asks for a WebSocket. */
  readonly webSocket: boolean;
}

// The example of RFC 6455, section 1.3: a key that is new each time would prove nothing more here.
const WEB_SOCKET = {
  "connection": "Upgrade",
  "upgrade": "websocket",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  "sec-websocket-version": "13",
};

/** What `Sec-WebSocket-Accept` has to be. */
export const WEB_SOCKET_ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/** How much of a response's body is kept when nothing in particular is expected: an identity fits. */
const KEEP_BYTES = 256;

/**
 * A source of requests of one kind. Each POST has a body of its own, so that an answer to another request, or to
 * half of this one, is found out.
 */
export function requestSource(template: RequestTemplate): () => Request {
  const { method, path, host, close, bodyBytes, headers, echo, events, webSocket } = template;
  const fields = {
    host,
    ...(close ? { connection: "close" } : {}),
    ...(events ? { accept: "text/event-stream" } : {}),
    ...(webSocket ? WEB_SOCKET : {}),
    ...headers,
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  if (method !== "POST") {
    const bytes = Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines}\r\n`, "latin1");
    const request: Request = {
      bytes,
      expected: undefined,
      head: method === "HEAD",
      keepBytes: KEEP_BYTES,
    };
    return events ? () => ({ ...request, stream: new EventStream() }) : () => request;
  }
  const head = Buffer.from(
    `POST ${path} HTTP/1.1\r\n${lines}content-type: application/octet-stream\r\ncontent-length: ${bodyBytes}\r\n\r\n`,
    "latin1",
  );
  const pattern = Buffer.concat([head, noise(bodyBytes)]);
  let serial = 0;
  return () => {
    const bytes = Buffer.from(pattern);
    const body = bytes.subarray(head.length);
    const stamp = Buffer.from(`${++serial} `, "latin1").subarray(0, bodyBytes);
    stamp.copy(body);
    stamp.copy(body, bodyBytes - stamp.length);
    const expected = echo === "body" ? body : digest(body);
    return { bytes, expected, head: false, keepBytes: expected.length };
  };
}

/**
 * Whether a whole response is what was expected.
 *
 * @param status The status that is expected.
 * @returns What is wrong, or `undefined`.
 */
export function verdict(request: Request, response: Response, status: number): string | undefined {
  if (response.status !== status) return `status ${response.status}`;
  const { expected, stream } = request;
  if (stream !== undefined && !/^text\/event-stream\b/.test(response.field("content-type") ?? "")) {
    return "not an event stream";
  }
  if (expected === undefined) return undefined;
  if (response.bodyBytes !== expected.length) {
    return response.bodyBytes < expected.length ? "body too short" : "body too long";
  }
  return Buffer.compare(expected, response.body) === 0 ? undefined : "body differs";
}

/** Who answered, when nobody says how to tell: the field `x-generation`, else a short text body. */
export function defaultIdentity(request: Request, response: Response): string | undefined {
  const field = response.field("x-generation");
  if (field !== undefined || request.expected !== undefined || request.stream !== undefined) {
    return field;
  }
  const whole = response.bodyBytes > 0 && response.bodyBytes === response.body.length;
  return whole ? Buffer.from(response.body).toString("latin1").trim() : undefined;
}

function digest(body: Uint8Array): Uint8Array {
  return Buffer.from(`${body.length} ${createHash("sha256").update(body).digest("hex")}`);
}

// A fixed sequence without short periods (xorshift32), so that shifted or repeated pieces are noticed.
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 0x9e3779b9;
  for (let at = 0; at < length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state & 0xff;
  }
  return bytes;
}
