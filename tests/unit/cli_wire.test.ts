// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStreamDecoder } from "../../src/cli/event_stream.ts";
import { joined, ResponseDecoder, ResponseError } from "../../src/cli/response.ts";
import { eventLine, statusLine, statusText } from "../../src/cli/status_text.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const plain = {
  good: (text: string) => text,
  bad: (text: string) => text,
  dim: (text: string) => text,
};

/** What a response is, however it is cut into pieces. */
function decoded(text: string, size: number): { status: number; body: string; complete: boolean } {
  const decoder = new ResponseDecoder();
  const parts: Uint8Array[] = [];
  const whole = bytes(text);
  for (let at = 0; at < whole.length; at += size) {
    parts.push(...decoder.push(whole.subarray(at, at + size)));
  }
  const { complete } = decoder;
  decoder.end();
  return { status: decoder.status, body: new TextDecoder().decode(joined(parts)), complete };
}

test("a response is read by length, in chunks or until the end, wherever it is cut", () => {
  const responses: [string, number, string, boolean][] = [
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhällo!", 200, "häll", true],
    ["HTTP/1.1 202 Accepted\r\ncontent-length:0\r\n\r\n", 202, "", true],
    ["HTTP/1.0 409 \r\n\r\nuntil the end", 409, "until the end", false],
    [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n, everyone\r\n0\r\nx: y\r\n\r\n",
      200,
      "hello, everyone",
      true,
    ],
    ["HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, "", true],
  ];
  for (const [text, status, body, complete] of responses) {
    for (const size of [1, 2, 3, 7, 1000]) {
      assert.deepEqual(decoded(text, size), { status, body, complete });
    }
  }
});

test("what is no response, or not all of one, is an error and never a wrong answer", () => {
  const wrong = [
    "SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2 200\r\n\r\n",
    "HTTP/1.1 abc\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n",
    "",
    "x".repeat(70_000),
    `HTTP/1.1 200 OK\r\nx: ${"y".repeat(70_000)}`,
  ];
  for (const text of wrong) {
    for (const size of [1, 100_000]) {
      const cut = text.slice(0, size === 1 ? 200 : undefined);
      assert.throws(() => decoded(cut, size), ResponseError, JSON.stringify(text.slice(0, 60)));
    }
  }
});

test("events are read wherever the stream is cut; comments and unknown fields are passed over", () => {
  const text =
    ': heartbeat\n\nevent: status\ndata: {"a":\ndata: 1}\n\nid: 5\r\ndata:ü\r\n\r\nevent: half\ndata: 2\n';
  for (const size of [1, 2, 5, 1000]) {
    const decoder = new EventStreamDecoder();
    const whole = bytes(text);
    const events = [];
    for (let at = 0; at < whole.length; at += size) {
      events.push(...decoder.push(whole.subarray(at, at + size)));
    }
    assert.deepEqual(events, [
      { event: "status", data: '{"a":\n1}' },
      { event: "message", data: "ü" },
    ]);
  }
  const endless = new EventStreamDecoder();
  const part = bytes("x".repeat(1 << 20));
  assert.throws(() => {
    for (let count = 0; count < 5; count++) endless.push(part);
  }, /no end/);
});

const status = {
  generation: 3,
  pid: 4711,
  runtime: "bun" as const,
  version: "1.4.5",
  state: "serving" as const,
  sockets: [
    { kind: "tcp" as const, hostname: "::", port: 8080, name: "web" },
    { kind: "unix" as const, path: "/run/a\x1b[31mpp.sock", name: "unix:/run/app.sock" },
    { kind: "udp" as const, hostname: "127.0.0.1", port: 53, name: "127.0.0.1:53" },
  ],
  connections: 1,
  drain: null,
  draining: [{ generation: 2, pid: 4700, since: 8_000 }],
  lastReport: null,
  history: [
    {
      at: 5_000,
      generation: 2,
      result: "failed" as const,
      code: "ERR_CHILD_EXITED" as const,
      message: "it exited with code 3\nand more",
    },
    { at: 7_000, generation: 2, result: "upgraded" as const },
  ],
};

test("a status is told in full, in words, and cannot steer the terminal", () => {
  assert.equal(
    statusText(status, plain, 10_000),
    `generation 3 (pid 4711, bun 1.4.5): serving
  listens on [::]:8080 (web)
  listens on unix:/run/app.sock
  listens on udp 127.0.0.1:53
  1 connection open
  generation 2 (pid 4700) finishes its connections, since 2.0 s
last upgrades:
       5.0 s ago  failed in generation 2: ERR_CHILD_EXITED it exited with code 3
       3.0 s ago  upgraded from generation 2
`,
  );
  assert.equal(
    statusLine(status, plain),
    "generation 3 (pid 4711, bun 1.4.5): serving on [::]:8080 (web), unix:/run/app.sock, udp 127.0.0.1:53, 1 connection",
  );
});

test("a status or an event of another version of the library is told as far as it is known", () => {
  const little = { generation: 1, pid: 2 };
  assert.equal(statusText(little, plain), "generation 1 (pid 2): runs\n  0 connections open\n");
  assert.equal(statusLine(little, plain), "generation 1 (pid 2): runs, 0 connections");
  assert.equal(eventLine("from-tomorrow", { generation: 2 }, plain), "generation 2: from-tomorrow");
  assert.equal(eventLine("upgraded", null, plain), "upgraded");
  assert.equal(eventLine("upgrade-failed", {}, plain), "upgrade failed");
  assert.match(eventLine("drained", {}, plain), /^has finished its connections after 0 ms/);
});
