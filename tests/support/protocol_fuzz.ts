/**
 * Hostile input for the decoder and the environment variable: mutations of what is right, and what fast-check makes up.
 *
 * Whatever comes in, either frames come out that can be written and read again as they are, or `ERR_PROTOCOL` is thrown;
 * and it never matters how the bytes were cut.
 *
 * @module
 */

import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { UpgradeError } from "../../src/errors.ts";
import {
  encodeFrame,
  type Frame,
  FrameDecoder,
  MAX_FRAME_BYTES,
  parseInvitation,
} from "../../src/protocol.ts";
import { Random } from "./random.ts";

/** What became of the inputs. */
export interface FuzzTally {
  inputs: number;
  /** Frames, or invitations, that were read. */
  read: number;
  refused: number;
  /** What must not be, each with its input. */
  readonly wrong: string[];
}

// A record, so that the compiler misses a new type.
const KNOWN: { readonly [T in Frame["type"]]: true } = {
  hello: true,
  joined: true,
  ready: true,
  take: true,
  more: true,
  chunk: true,
  end: true,
  fail: true,
  probation: true,
  ask: true,
  tell: true,
  commit: true,
  owned: true,
  left: true,
  abort: true,
  history: true,
  relay: true,
  cut: true,
};
const TYPES = Object.keys(KNOWN) as readonly Frame["type"][];

const GOOD: readonly object[] = [
  {
    type: "hello",
    v: 1,
    generation: 2,
    pid: 100,
    runtime: "node",
    sockets: [
      { fd: 4, kind: "tcp", identity: "tcp:*:8080", address: "[::]:8080" },
      { fd: 5, kind: "unix", identity: "unix:/run/ä.sock", address: "unix:/run/ä.sock" },
      { fd: 6, kind: "udp", identity: "dns", address: "127.0.0.1:53", managed: true },
      { fd: 7, kind: "raw", identity: "fd:log", address: "" },
    ],
    deadlineMs: 60_000,
    probationMs: 0,
    draining: [{ pid: 90, generation: 1, started: "123", since: 1, deadline: 2 }],
    drainTimeoutMs: 30_000,
    offers: ["cache"],
    control: "/run/app.control",
  },
  { v: 1, type: "ready", pid: 2, generation: 2, runtime: "bun", version: "1", used: ["a", "b"] },
  { v: 1, type: "joined" },
  { v: 1, type: "take", name: "cache" },
  { v: 1, type: "more", name: "cache", bytes: 1 },
  { v: 1, type: "chunk", name: "cache", data: "AAEC/w==" },
  { v: 1, type: "end", name: "cache" },
  { v: 1, type: "fail", message: "no\ndatabase \u{1f5ff}", stack: "Error\n    at x" },
  { v: 1, type: "probation" },
  { v: 1, type: "ask", id: 1 },
  { v: 1, type: "tell", id: 1, status: { state: "starting" } },
  { v: 1, type: "commit" },
  { v: 1, type: "owned" },
  { v: 1, type: "abort", reason: "no" },
  { v: 1, type: "history", records: [{ at: 1 }], totals: { cut: 1 } },
  { v: 1, type: "relay", request: "stop" },
  { v: 1, type: "cut", pid: 90 },
  { v: 1, type: "of a later version", anything: [1] },
];

const VALUES: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  0.5,
  2,
  3,
  2 ** 31,
  2 ** 53,
  1e308,
  "",
  "tcp",
  "\u0000",
  "\ud800",
  "__proto__",
  "x".repeat(70_000),
  [],
  [[]],
  {},
  { length: 1 },
  { toString: 1 },
];

const PIECES = [
  "\n",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  '"',
  "\\",
  "\\u0000",
  "\u{1f5ff}",
  "\r\n",
  "1e999",
];
const encoder = new TextEncoder();

type Outcome = { readonly frames: Frame[]; readonly error?: UpgradeError };

/** @throws {unknown} What is no `UpgradeError`. */
function decode(parts: readonly Uint8Array[]): Outcome {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  for (const part of parts) {
    try {
      frames.push(...decoder.push(part));
    } catch (error) {
      if (!UpgradeError.is(error)) throw error;
      return { frames, error };
    }
  }
  return { frames };
}

function cut(bytes: Uint8Array, random: Random): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + random.below(random.chance(0.3) ? 4 : bytes.length);
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return parts;
}

/** What is wrong with how bytes were read; `undefined` when nothing is. */
function check(bytes: Uint8Array, random: Random, tally: FuzzTally): string | undefined {
  tally.inputs++;
  let whole: Outcome;
  let parts: Outcome;
  try {
    whole = decode([bytes]);
    parts = decode(cut(bytes, random));
  } catch (error) {
    return `threw ${error}`;
  }
  if (whole.error !== undefined) tally.refused++;
  tally.read += parts.frames.length;
  for (const { error } of [whole, parts]) {
    if (error !== undefined && error.code !== "ERR_PROTOCOL") return `threw ${error.code}`;
  }
  if ((whole.error === undefined) !== (parts.error === undefined)) return "depends on the cuts";
  // Bytes that come together with something wrong say nothing any more.
  if (whole.error === undefined && !isDeepStrictEqual(whole.frames, parts.frames)) {
    return "depends on the cuts";
  }
  for (const frame of parts.frames) {
    if (!TYPES.includes(frame.type)) return `read a "${frame.type}"`;
    // What is only shown is any JSON, and 1e999 becomes null when it is written again.
    const expected = JSON.parse(JSON.stringify(frame));
    if (!isDeepStrictEqual(decode([encodeFrame(frame)]).frames, [expected])) {
      return `read a "${frame.type}" that does not come back`;
    }
  }
  return undefined;
}

function changeValue(value: unknown, random: Random): unknown {
  if (typeof value !== "object" || value === null || random.chance(0.2)) return random.pick(VALUES);
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>;
  const keys = Object.keys(copy);
  const key = keys.length === 0 || random.chance(0.1) ? "new" : random.pick(keys);
  if (random.chance(0.15)) delete copy[key];
  else if (Array.isArray(copy) && random.chance(0.2)) (copy as unknown[]).push(...copy);
  else copy[key] = changeValue(copy[key], random);
  return copy;
}

function changeBytes(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.below(bytes.length + 1);
  const rest = random.chance(0.5) ? at : at + random.below(16);
  const put = random.chance(0.4)
    ? encoder.encode(random.pick(PIECES))
    : random.chance(0.3)
    ? bytes.subarray(random.below(bytes.length + 1)).subarray(0, 40)
    : Uint8Array.from({ length: random.below(4) }, () => random.below(256));
  const result = new Uint8Array(at + put.length + Math.max(0, bytes.length - rest));
  result.set(bytes.subarray(0, at));
  result.set(put, at);
  result.set(bytes.subarray(rest), at + put.length);
  return result;
}

/** One input: one to three lines, some of them changed as JSON, some as bytes. */
function frameInput(random: Random): Uint8Array {
  let text = "";
  for (let lines = 1 + random.below(3); lines > 0; lines--) {
    let value: unknown = random.pick(GOOD);
    for (let times = random.below(3); times > 0; times--) value = changeValue(value, random);
    text += JSON.stringify(value) + "\n";
  }
  let bytes: Uint8Array = encoder.encode(text);
  for (let times = random.below(4); times > 0; times--) bytes = changeBytes(bytes, random);
  return bytes;
}

/** Mutations of frames. */
export function fuzzFrames(seed: number, inputs: number): FuzzTally {
  const random = new Random(seed);
  const tally: FuzzTally = { inputs: 0, read: 0, refused: 0, wrong: [] };
  while (tally.inputs < inputs) {
    const bytes = frameInput(random);
    const problem = check(bytes, random, tally);
    if (problem !== undefined) {
      tally.wrong.push(
        `${problem}: ${JSON.stringify(new TextDecoder().decode(bytes).slice(0, 2000))}`,
      );
    }
  }
  return tally;
}

/** What is wrong with how a value of the variable was read. */
function checkInvitation(value: string, tally: FuzzTally): string | undefined {
  tally.inputs++;
  try {
    const { v, fd, ppid } = parseInvitation(value);
    tally.read++;
    const right = v === 1 && Number.isInteger(fd) && fd >= 3 && Number.isInteger(ppid) && ppid >= 1;
    return right && value.length <= 1024 ? undefined : "was believed";
  } catch (error) {
    tally.refused++;
    return UpgradeError.is(error) && error.code === "ERR_PROTOCOL" ? undefined : `threw ${error}`;
  }
}

/** Mutations of the environment variable. */
export function fuzzInvitation(seed: number, inputs: number): FuzzTally {
  const random = new Random(seed);
  const tally: FuzzTally = { inputs: 0, read: 0, refused: 0, wrong: [] };
  while (tally.inputs < inputs) {
    let value: unknown = { v: 1, fd: 3, ppid: 1 + random.below(99_999) };
    for (let times = random.below(3); times > 0; times--) value = changeValue(value, random);
    let text = JSON.stringify(value) ?? "";
    for (let times = random.below(3); times > 0; times--) {
      text = new TextDecoder().decode(changeBytes(encoder.encode(text), random));
    }
    const problem = checkInvitation(text, tally);
    if (problem !== undefined) {
      tally.wrong.push(`${problem}: ${JSON.stringify(text.slice(0, 2000))}`);
    }
  }
  return tally;
}

const json = fc.jsonValue({ maxDepth: 3 });
const madeUp = fc.oneof(
  fc.record({ v: fc.constant(1), type: fc.constantFrom(...TYPES) }).chain((base) =>
    fc.dictionary(
      fc.constantFrom(...new Set(GOOD.flatMap((frame) => Object.keys(frame)))),
      fc.oneof(json, fc.constantFrom(...VALUES)),
    ).map((fields) => JSON.stringify({ ...fields, ...base }) + "\n")
  ),
  json.map((value) => JSON.stringify(value) + "\n"),
  fc.string({ unit: "binary", maxLength: 60 }),
);

/** What fast-check makes up: for both. It shrinks what is wrong. */
export function fuzzMadeUp(seed: number, inputs: number): FuzzTally {
  const tally: FuzzTally = { inputs: 0, read: 0, refused: 0, wrong: [] };
  const random = new Random(seed);
  const result = fc.check(
    fc.property(fc.array(madeUp, { maxLength: 3 }), (lines) => {
      const problem = check(encoder.encode(lines.join("")), random, tally) ??
        checkInvitation(lines[0] ?? "", tally);
      if (problem !== undefined) throw new Error(problem);
    }),
    { seed, numRuns: Math.ceil(inputs / 2), verbose: false },
  );
  if (result.failed) tally.wrong.push(`${fc.defaultReportMessage(result)}`);
  return tally;
}

/** What a decoder holds of a line that does not end: it gives up before that is more than a frame. */
export function endlessLine(chunk: number): { readonly held: number; readonly code: string } {
  const decoder = new FrameDecoder();
  const bytes = new Uint8Array(chunk).fill(0x20);
  let held = 0;
  try {
    for (; held < 4 * MAX_FRAME_BYTES; held += chunk) decoder.push(bytes);
  } catch (error) {
    return { held, code: UpgradeError.is(error) ? error.code : String(error) };
  }
  return { held, code: "none" };
}
