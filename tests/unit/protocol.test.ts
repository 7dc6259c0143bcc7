import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { UpgradeError } from "../../src/errors.ts";
import {
  encodeFrame,
  formatInvitation,
  type Frame,
  FrameDecoder,
  MAX_FRAME_BYTES,
  parseInvitation,
  tail,
} from "../../src/protocol.ts";

const FRAMES: readonly Frame[] = [
  {
    type: "hello",
    v: 1,
    generation: 2,
    pid: 100,
    runtime: "node",
    sockets: [
      { fd: 4, kind: "tcp", identity: "tcp:*:8080", address: "[::]:8080" },
      { fd: 5, kind: "unix", identity: "unix:/run/ä.sock", address: "unix:/run/ä.sock" },
      { fd: 6, kind: "udp", identity: "dns", address: "127.0.0.1:53" },
      { fd: 7, kind: "raw", identity: "fd:log", address: "" },
    ],
    deadlineMs: 60_000,
    probationMs: 0,
    draining: [{ pid: 90, generation: 1, started: "123", since: 1, deadline: 2 }],
    drainTimeoutMs: 30_000,
  },
  {
    type: "hello",
    v: 1,
    generation: 3,
    pid: 1,
    runtime: "",
    sockets: [],
    deadlineMs: 0,
    probationMs: 1,
    draining: [],
    offers: ["cache"],
  },
  { type: "ready", pid: 101, generation: 2, runtime: "bun", version: "1.4.5", used: ["a", "b"] },
  { type: "take", name: "cache" },
  { type: "more", name: "cache", bytes: 1 },
  { type: "chunk", name: "cache", data: "AAEC/w==" },
  { type: "end", name: "cache" },
  { type: "fail", message: "no\ndatabase \u{1f5ff}", stack: "Error\n    at x" },
  { type: "probation" },
  { type: "ask", id: 1 },
  { type: "tell", id: 1, status: { state: "starting" } },
  { type: "commit" },
  { type: "owned" },
  { type: "abort", reason: "" },
  { type: "history", records: [{ at: 1, result: "upgraded" }] },
  { type: "history", records: [], totals: { cut: 1 } },
  { type: "relay", request: "stop" },
  { type: "cut", pid: 90 },
];

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const line = (value: unknown): Uint8Array => bytesOf(JSON.stringify(value) + "\n");

function decode(...parts: readonly Uint8Array[]): Frame[] {
  const decoder = new FrameDecoder();
  return parts.flatMap((part) => decoder.push(part));
}

function refuses(bytes: Uint8Array, message: RegExp): void {
  assert.throws(() => decode(bytes), (error) => {
    assert.ok(UpgradeError.is(error));
    assert.equal(error.code, "ERR_PROTOCOL");
    assert.match(error.message, message);
    return true;
  });
}

describe("a frame", () => {
  for (const [index, frame] of FRAMES.entries()) {
    test(`${frame.type} (${index}) comes back as it was`, () => {
      const bytes = encodeFrame(frame);
      assert.equal(bytes.at(-1), 10);
      assert.equal(bytes.indexOf(10), bytes.length - 1);
      assert.deepEqual(decode(bytes), [frame]);
    });

    test(`${frame.type} (${index}) may be cut at every byte`, () => {
      const bytes = encodeFrame(frame);
      for (let cut = 0; cut <= bytes.length; cut += 1) {
        assert.deepEqual(decode(bytes.subarray(0, cut), bytes.subarray(cut)), [frame], `${cut}`);
      }
      assert.deepEqual(decode(...[...bytes].map((byte) => Uint8Array.of(byte))), [frame]);
    });
  }

  test("is complete with its newline, and not before", () => {
    const decoder = new FrameDecoder();
    const bytes = encodeFrame({ type: "commit" });
    assert.deepEqual(decoder.push(bytes.subarray(0, -1)), []);
    assert.deepEqual(decoder.push(bytes.subarray(-1)), [{ type: "commit" }]);
  });

  test("does not change with the buffer that it arrived in", () => {
    const decoder = new FrameDecoder();
    const bytes = encodeFrame({ type: "abort", reason: "later" });
    const buffer = bytes.slice(0, 12);
    decoder.push(buffer);
    buffer.fill(0);
    assert.deepEqual(decoder.push(bytes.subarray(12)), [{ type: "abort", reason: "later" }]);
  });

  test("of a version to come may have fields that are not known here", () => {
    assert.deepEqual(decode(line({ v: 1, type: "abort", reason: "x", mood: "bad" })), [
      { type: "abort", reason: "x" },
    ]);
  });

  test("of an unknown type is left out", () => {
    for (const type of ["unheard", "", "__proto__", "constructor", "toString"]) {
      assert.deepEqual(decode(line({ v: 1, type }), encodeFrame({ type: "owned" })), [
        { type: "owned" },
      ]);
    }
  });

  test("that is too long is not sent", () => {
    const reason = "x".repeat(MAX_FRAME_BYTES);
    assert.throws(() => encodeFrame({ type: "abort", reason }), { code: "ERR_PROTOCOL" });
    const empty = encodeFrame({ type: "abort", reason: "" }).length;
    const longest = "x".repeat(MAX_FRAME_BYTES - empty);
    assert.equal(encodeFrame({ type: "abort", reason: longest }).length, MAX_FRAME_BYTES);
    assert.throws(() => encodeFrame({ type: "abort", reason: longest + "x" }), {
      code: "ERR_PROTOCOL",
    });
  });
});

describe("the decoder", () => {
  test("reads any frames in any pieces, in order", () => {
    const frames = fc.array(fc.constantFrom(...FRAMES), { maxLength: 6 });
    const sizes = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(frames, sizes, (sent, cuts) => {
        const all = bytesOf(
          sent.map((frame) => new TextDecoder().decode(encodeFrame(frame)))
            .join(""),
        );
        const parts: Uint8Array[] = [];
        for (let at = 0, index = 0; at < all.length; index += 1) {
          const size = cuts[index % cuts.length] as number;
          parts.push(all.subarray(at, at + size));
          at += size;
        }
        assert.deepEqual(decode(...parts), sent);
      }),
      { numRuns: 300, seed: 20261122 },
    );
  });

  test("throws ERR_PROTOCOL and nothing else, whatever bytes arrive", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decode(bytes, Uint8Array.of(10));
        } catch (error) {
          assert.ok(UpgradeError.is(error) && error.code === "ERR_PROTOCOL");
        }
      }),
      { numRuns: 500, seed: 20261122 },
    );
  });

  test("throws ERR_PROTOCOL and nothing else, whatever a frame's fields are", () => {
    const type = fc.constantFrom(...FRAMES.map((frame) => frame.type));
    const key = fc.constantFrom(
      ...["generation", "pid", "runtime", "sockets", "deadlineMs", "offers", "used", "reason"],
    );
    fc.assert(
      fc.property(type, fc.dictionary(key, fc.jsonValue({ maxDepth: 2 })), (type, fields) => {
        try {
          decode(line({ ...fields, v: 1, type }));
        } catch (error) {
          assert.ok(UpgradeError.is(error) && error.code === "ERR_PROTOCOL");
        }
      }),
      { numRuns: 500, seed: 20261122 },
    );
  });

  test("refuses a line longer than 1 MiB, with its newline or before it came", () => {
    const long = new Uint8Array(MAX_FRAME_BYTES).fill(0x20);
    refuses(long, /longer than 1048576 bytes/);
    const decoder = new FrameDecoder();
    decoder.push(long.subarray(0, -1));
    assert.throws(() => decoder.push(long.subarray(0, 1)), { code: "ERR_PROTOCOL" });
  });

  test("takes a line of exactly 1 MiB", () => {
    const text = JSON.stringify({ v: 1, type: "owned" });
    const bytes = bytesOf(text + " ".repeat(MAX_FRAME_BYTES - 1 - text.length) + "\n");
    assert.equal(bytes.length, MAX_FRAME_BYTES);
    assert.deepEqual(decode(bytes), [{ type: "owned" }]);
  });

  test("takes many short lines in one piece that is longer than 1 MiB", () => {
    const one = encodeFrame({ type: "abort", reason: "x".repeat(60_000) });
    const all = new Uint8Array(one.length * 20);
    for (let index = 0; index < 20; index += 1) all.set(one, index * one.length);
    assert.ok(all.length > MAX_FRAME_BYTES);
    assert.equal(decode(all).length, 20);
  });

  test("refuses what is not a frame", () => {
    refuses(bytesOf("\n"), /not JSON/);
    refuses(bytesOf("hello\n"), /not JSON/);
    refuses(bytesOf('{"v":1,"type":"owned"\n'), /not JSON/);
    for (const value of [null, 1, "text", true, []]) refuses(line(value), /not a JSON object/);
    refuses(Uint8Array.of(0x7b, 0xff, 0x7d, 10), /not UTF-8/);
    refuses(Uint8Array.of(0xc3, 10), /not UTF-8/);
  });

  test("refuses an unknown version, also of an unknown type, and names it", () => {
    for (const v of [0, 2, "1", null, undefined, [1]]) {
      refuses(line({ v, type: "owned" }), /only 1$/);
    }
    refuses(line({ v: 7, type: "future" }), /version 7 is not spoken here/);
  });

  test("refuses a frame without a type", () => {
    refuses(line({ v: 1 }), /"type" must be a string/);
    refuses(line({ v: 1, type: 5 }), /"type" must be a string/);
    refuses(line({ v: 1, type: "x".repeat(65) }), /at most 64 characters/);
  });
});

describe("a field", () => {
  const [hello, , ready] = FRAMES as [Frame, Frame, Frame];
  const entry = { fd: 4, kind: "tcp", identity: "web", address: ":1" };
  const wrong: readonly (readonly [Frame, string, readonly unknown[]])[] = [
    [hello, "generation", [1, 0, -1, 1.5, "2", null, undefined, 2 ** 53]],
    [hello, "pid", [0, -5, 1.5, "1", null, undefined]],
    [hello, "runtime", [1, null, undefined, "x".repeat(65)]],
    [hello, "deadlineMs", [-1, 0.5, "1", undefined]],
    [hello, "probationMs", [-1, 0.5, "1", undefined]],
    [hello, "drainTimeoutMs", [-1, 0.5, "1", null]],
    [hello, "offers", [-1, 0.5, "1", null, [1]]],
    [hello, "draining", [undefined, {}, [null], [{ pid: 1 }], [{ pid: 0, generation: 1 }]]],
    [hello, "sockets", [
      undefined,
      {},
      [null],
      [[]],
      [{ ...entry, fd: 3 }],
      [{ ...entry, fd: 2 ** 31 }],
      [{ ...entry, kind: "sctp" }],
      [{ ...entry, kind: 1 }],
      [{ ...entry, identity: 1 }],
      [{ ...entry, identity: "x".repeat(4097) }],
      [{ ...entry, address: undefined }],
      [entry, { ...entry, fd: 5 }],
      [entry, { ...entry, identity: "other" }],
      Array.from({ length: 65_537 }, () => 0),
    ]],
    [ready, "pid", [0, "1", undefined]],
    [ready, "generation", [1, undefined]],
    [ready, "runtime", [undefined]],
    [ready, "version", [undefined, "x".repeat(257)]],
    [ready, "used", [undefined, "web", [1], [null]]],
    [{ type: "fail", message: "", stack: "" }, "message", [undefined, 1, "x".repeat(65_537)]],
    [{ type: "fail", message: "", stack: "" }, "stack", [undefined, 1]],
    [{ type: "abort", reason: "" }, "reason", [undefined, null, {}]],
  ];
  for (const [frame, key, values] of wrong) {
    test(`"${key}" of ${frame.type} is refused when it is not of its form`, () => {
      for (const value of values) refuses(line({ ...frame, v: 1, [key]: value }), /^Cannot read /);
    });
  }

  test("that is doubled is told as such", () => {
    const twice = { ...hello, sockets: [entry, { ...entry, fd: 5 }] };
    refuses(line(twice), /two sockets have the same identity/);
    const shared = { ...hello, sockets: [entry, { ...entry, identity: "other" }] };
    refuses(line(shared), /two sockets have the same descriptor/);
  });
});

describe("an invitation", () => {
  test("comes back as it was", () => {
    const text = formatInvitation(4321);
    assert.equal(text, '{"v":1,"fd":3,"ppid":4321}');
    assert.deepEqual(parseInvitation(text), { v: 1, fd: 3, ppid: 4321 });
  });

  test("may name another descriptor, as another implementation could", () => {
    assert.equal(parseInvitation('{"v":1,"fd":9,"ppid":1,"more":true}').fd, 9);
  });

  for (
    const value of [
      "",
      "1",
      "[]",
      "{}",
      '{"v":2,"fd":3,"ppid":1}',
      '{"v":1,"fd":2,"ppid":1}',
      '{"v":1,"fd":"3","ppid":1}',
      '{"v":1,"fd":3,"ppid":0}',
      '{"v":1,"fd":3}',
      `{"v":1,"fd":3,"ppid":1}${" ".repeat(1024)}`,
    ]
  ) {
    test(`${JSON.stringify(value.trim())} (${value.length} characters) is refused`, () => {
      assert.throws(() => parseInvitation(value), (error) => {
        assert.ok(UpgradeError.is(error) && error.code === "ERR_PROTOCOL");
        assert.match(error.message, /^Cannot read /);
        return true;
      });
    });
  }
});

test("tail keeps the end, and at most as many characters as it may", () => {
  assert.equal(tail("short"), "short");
  assert.equal(tail("abcdef", 6), "abcdef");
  assert.equal(tail("abcdefg", 6), "…cdefg");
  assert.equal(tail("x".repeat(9000)).length, 8192);
});
