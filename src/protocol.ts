/**
 * Wire protocol, version 1: frames on the channel between parent and child, and the invitation in the environment.
 *
 * One JSON object per line, UTF-8, at most {@linkcode MAX_FRAME_BYTES} including the newline. A frame of an unknown
 * `type` is ignored, so that later versions can add some; an unknown `v`, a malformed line or a field that is not of its
 * form throws `ERR_PROTOCOL`, and whoever meets it calls the upgrade off. Pure: bytes in, frames out.
 *
 * @module
 */

import { UpgradeError } from "./errors.ts";
import type { DrainingGeneration, Frame, Invitation, SocketEntry, SocketKind } from "./frames.ts";

export type * from "./frames.ts";

/** The version that this library speaks. */
export const PROTOCOL_VERSION = 1;
/** The longest line that is sent or accepted, in bytes (1 MiB). */
export const MAX_FRAME_BYTES: number = 1024 * 1024;
/** The child's end of the channel. */
export const CHANNEL_FD = 3;
/** The first inherited socket. */
export const FIRST_SOCKET_FD = 4;
/** The environment variable that tells a process that it is a child of an upgrade. */
export const ENV_NAME = "CHANGEOVER";

const MAX_SOCKETS = 65_536;
const MAX_TEXT = 65_536;
// An identity with a prefix.
const MAX_NAME = 4_200;
const MAX_RECORDS = 10;

type Json = Readonly<Record<string, unknown>>;

function fail(message: string): never {
  throw new UpgradeError("ERR_PROTOCOL", message);
}

function object(value: unknown, what: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    fail(`Cannot read ${what}: it is not a JSON object`);
  }
  return value as Json;
}

function integer(
  from: Json,
  key: string,
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
): number {
  const value = from[key];
  if (!Number.isSafeInteger(value) || (value as number) < minimum || (value as number) > maximum) {
    fail(`Cannot read frame: "${key}" must be an integer from ${minimum} to ${maximum}`);
  }
  return value as number;
}

function text(from: Json, key: string, maximum = MAX_TEXT): string {
  const value = from[key];
  if (typeof value !== "string" || value.length > maximum) {
    fail(`Cannot read frame: "${key}" must be a string of at most ${maximum} characters`);
  }
  return value;
}

function list<T>(
  from: Json,
  key: string,
  item: (value: unknown) => T,
  maximum: number = MAX_SOCKETS,
): T[] {
  const value = from[key];
  if (!Array.isArray(value) || value.length > maximum) {
    fail(`Cannot read frame: "${key}" must be a list of at most ${maximum} entries`);
  }
  return value.map((entry) => item(entry));
}

function strings(from: Json, key: string): string[] {
  return list(
    from,
    key,
    (value) =>
      typeof value === "string"
        ? value
        : fail(`Cannot read frame: "${key}" must be a list of strings`),
  );
}

const KINDS: readonly string[] = ["tcp", "unix", "udp", "raw"] satisfies SocketKind[];

function socketEntry(value: unknown): SocketEntry {
  const entry = object(value, "socket entry");
  const kind = text(entry, "kind", 16);
  if (!KINDS.includes(kind)) fail(`Cannot read frame: "${kind}" is not a kind of socket`);
  return {
    fd: integer(entry, "fd", FIRST_SOCKET_FD, 0x7fffffff),
    kind: kind as SocketKind,
    identity: text(entry, "identity", 4096),
    address: text(entry, "address", 4096),
    ...(entry["managed"] === true ? { managed: true } : {}),
  };
}

function sockets(from: Json): SocketEntry[] {
  const entries = list(from, "sockets", socketEntry);
  if (new Set(entries.map((entry) => entry.identity)).size !== entries.length) {
    fail("Cannot read frame: two sockets have the same identity");
  }
  if (new Set(entries.map((entry) => entry.fd)).size !== entries.length) {
    fail("Cannot read frame: two sockets have the same descriptor");
  }
  return entries;
}

function drainingEntry(value: unknown): DrainingGeneration {
  const entry = object(value, "draining entry");
  return {
    pid: integer(entry, "pid", 1),
    generation: integer(entry, "generation", 1),
    ...(entry["started"] === undefined ? {} : { started: text(entry, "started", 64) }),
    ...(entry["since"] === undefined ? {} : { since: integer(entry, "since", 0) }),
    ...(entry["deadline"] === undefined ? {} : { deadline: integer(entry, "deadline", 0) }),
  };
}

function request(from: Json): "upgrade" | "stop" {
  const value = text(from, "request", 16);
  return value === "upgrade" || value === "stop"
    ? value
    : fail(`Cannot read frame: "${value}" is not a request`);
}

const READERS: { readonly [T in Frame["type"]]: (from: Json) => Extract<Frame, { type: T }> } = {
  hello: (from) => ({
    type: "hello",
    v: PROTOCOL_VERSION,
    generation: integer(from, "generation", 2),
    pid: integer(from, "pid", 1),
    runtime: text(from, "runtime", 64),
    sockets: sockets(from),
    deadlineMs: integer(from, "deadlineMs", 0),
    probationMs: integer(from, "probationMs", 0),
    draining: list(from, "draining", drainingEntry),
    ...(from["drainTimeoutMs"] === undefined
      ? {}
      : { drainTimeoutMs: integer(from, "drainTimeoutMs", 0) }),
    ...(from["offers"] === undefined ? {} : { offers: strings(from, "offers") }),
    ...(from["control"] === undefined ? {} : { control: text(from, "control", 4096) }),
  }),
  joined: () => ({ type: "joined" }),
  ready: (from) => ({
    type: "ready",
    pid: integer(from, "pid", 1),
    generation: integer(from, "generation", 2),
    runtime: text(from, "runtime", 64),
    version: text(from, "version", 256),
    used: strings(from, "used"),
  }),
  take: (from) => ({ type: "take", name: text(from, "name", MAX_NAME) }),
  more: (from) => ({
    type: "more",
    name: text(from, "name", MAX_NAME),
    bytes: integer(from, "bytes", 1),
  }),
  chunk: (from) => ({
    type: "chunk",
    name: text(from, "name", MAX_NAME),
    data: text(from, "data", MAX_FRAME_BYTES),
  }),
  end: (from) => ({ type: "end", name: text(from, "name", MAX_NAME) }),
  fail: (from) => ({ type: "fail", message: text(from, "message"), stack: text(from, "stack") }),
  probation: () => ({ type: "probation" }),
  ask: (from) => ({ type: "ask", id: integer(from, "id", 1) }),
  tell: (from) => ({
    type: "tell",
    id: integer(from, "id", 1),
    status: object(from["status"], "status"),
  }),
  commit: () => ({ type: "commit" }),
  owned: () => ({ type: "owned" }),
  left: () => ({ type: "left" }),
  abort: (from) => ({ type: "abort", reason: text(from, "reason") }),
  history: (from) => ({
    type: "history",
    records: list(from, "records", (value) => object(value, "record"), MAX_RECORDS),
    ...(from["totals"] === undefined ? {} : { totals: object(from["totals"], "totals") }),
  }),
  relay: (from) => ({ type: "relay", request: request(from) }),
  cut: (from) => ({ type: "cut", pid: integer(from, "pid", 1) }),
};

function parse(line: string, what: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new UpgradeError("ERR_PROTOCOL", `Cannot read ${what}: it is not JSON`, { cause });
  }
  return object(value, what);
}

function version(from: Json, what: string): void {
  if (from["v"] !== PROTOCOL_VERSION) {
    fail(
      `Cannot read ${what}: version ${
        JSON.stringify(from["v"])
      } is not spoken here, only ${PROTOCOL_VERSION}`,
    );
  }
}

/**
 * Writes a frame as one line.
 *
 * @param frame What to say.
 * @returns The bytes, with the newline.
 * @throws {UpgradeError} `ERR_PROTOCOL` when the line would be longer than {@linkcode MAX_FRAME_BYTES}.
 */
export function encodeFrame(frame: Frame): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify({ ...frame, v: PROTOCOL_VERSION }) + "\n");
  if (bytes.length > MAX_FRAME_BYTES) {
    fail(`Cannot send "${frame.type}": it has ${bytes.length} bytes, more than ${MAX_FRAME_BYTES}`);
  }
  return bytes;
}

/** Shortens text to what a frame can hold, keeping its end, where the reason usually stands. */
export function tail(value: string, maximum = 8192): string {
  return value.length <= maximum ? value : "…" + value.slice(1 - maximum);
}

/** Turns a stream of bytes into frames; one decoder per direction. */
export class FrameDecoder {
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true });
  #pending: Uint8Array[] = [];
  #length = 0;

  /**
   * Takes the next bytes.
   *
   * @param bytes As they arrived, cut anywhere.
   * @returns The frames that are complete now, in order; those of an unknown type are left out.
   * @throws {UpgradeError} `ERR_PROTOCOL`; the decoder must not be used afterwards.
   */
  push(bytes: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    let rest = bytes;
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      this.#append(rest.subarray(0, end));
      const frame = this.#decode();
      if (frame !== undefined) frames.push(frame);
      rest = rest.subarray(end + 1);
    }
    // A copy: runtimes may reuse the buffer of a read.
    if (rest.length > 0) this.#append(rest.slice());
    return frames;
  }

  #append(bytes: Uint8Array): void {
    this.#length += bytes.length;
    // One byte is kept for the newline.
    if (this.#length >= MAX_FRAME_BYTES) {
      fail(`Cannot read frame: it is longer than ${MAX_FRAME_BYTES} bytes`);
    }
    this.#pending.push(bytes);
  }

  #decode(): Frame | undefined {
    const line = new Uint8Array(this.#length);
    let offset = 0;
    for (const part of this.#pending) {
      line.set(part, offset);
      offset += part.length;
    }
    this.#pending = [];
    this.#length = 0;
    let content: string;
    try {
      content = this.#utf8.decode(line);
    } catch (cause) {
      throw new UpgradeError("ERR_PROTOCOL", "Cannot read frame: it is not UTF-8", { cause });
    }
    const from = parse(content, "frame");
    version(from, "frame");
    const type = text(from, "type", 64);
    return Object.hasOwn(READERS, type) ? READERS[type as Frame["type"]](from) : undefined;
  }
}

/** Writes the value of the environment variable. */
export function formatInvitation(parentPid: number): string {
  return JSON.stringify({ v: PROTOCOL_VERSION, fd: CHANNEL_FD, ppid: parentPid });
}

/**
 * Reads the value of the environment variable.
 *
 * @param value As found in the environment.
 * @returns What it says.
 * @throws {UpgradeError} `ERR_PROTOCOL` when it says something else.
 */
export function parseInvitation(value: string): Invitation {
  if (value.length > 1024) fail(`Cannot read ${ENV_NAME}: it is longer than 1024 characters`);
  const from = parse(value, ENV_NAME);
  version(from, ENV_NAME);
  return {
    v: PROTOCOL_VERSION,
    fd: integer(from, "fd", CHANNEL_FD, 0x7fffffff),
    ppid: integer(from, "ppid", 1),
  };
}
