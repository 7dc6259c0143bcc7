// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import {
  type Expectation,
  MalformedResponse,
  type Response,
  ResponseParser,
} from "../../bench/load/response_parser.ts";

const GET: Expectation = { head: false, keepBytes: 1024 };
const HEAD: Expectation = { head: true, keepBytes: 1024 };

interface Seen {
  readonly status: number;
  readonly body: string;
  readonly bodyBytes: number;
  readonly keepAlive: boolean;
}

function seen(response: Response): Seen {
  const { status, bodyBytes, keepAlive } = response;
  return { status, body: Buffer.from(response.body).toString("latin1"), bodyBytes, keepAlive };
}

/** Feeds pieces and then, if asked, the end of the connection; returns the responses and what is left begun. */
function parse(
  pieces: readonly Uint8Array[],
  expectation: Expectation,
  end = false,
): { responses: Seen[]; partial: boolean } {
  const parser = new ResponseParser();
  const responses: Seen[] = [];
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length) {
      at = parser.read(piece, at, expectation);
      if (parser.complete) responses.push(seen(parser.take()));
    }
  }
  if (end && parser.end()) responses.push(seen(parser.take()));
  return { responses, partial: parser.partial };
}

function bytes(...lines: string[]): Uint8Array {
  return Buffer.from(lines.join("\r\n"), "latin1");
}

interface Case {
  readonly title: string;
  readonly input: Uint8Array;
  readonly expectation?: Expectation;
  /** Whether the connection ends behind the input. */
  readonly end?: boolean;
  readonly responses: readonly Seen[];
}

const OK = { status: 200, body: "hello", bodyBytes: 5, keepAlive: true };

const cases: readonly Case[] = [
  {
    title: "content-length",
    input: bytes("HTTP/1.1 200 OK", "Content-Length: 5", "x: y", "", "hello"),
    responses: [OK],
  },
  {
    title: "content-length of zero",
    input: bytes("HTTP/1.1 200 OK", "content-length: 0", "", ""),
    responses: [{ ...OK, body: "", bodyBytes: 0 }],
  },
  {
    title: "chunked with extensions and a trailer",
    input: bytes(
      "HTTP/1.1 200 OK",
      "Transfer-Encoding: chunked",
      "",
      "2;name=value",
      "he",
      "0003",
      "llo",
      "0",
      "x-trailer: a",
      "x-more: b",
      "",
      "",
    ),
    responses: [OK],
  },
  {
    title: "a large chunk size in hexadecimal",
    input: bytes(
      "HTTP/1.1 200 OK",
      "transfer-encoding: Chunked",
      "",
      "1A",
      "a".repeat(26),
      "0",
      "",
      "",
    ),
    responses: [{ ...OK, body: "a".repeat(26), bodyBytes: 26 }],
  },
  {
    title: "until the connection ends",
    input: bytes("HTTP/1.1 200 OK", "x: y", "", "hello"),
    end: true,
    responses: [{ ...OK, keepAlive: false }],
  },
  {
    title: "an answer to HEAD",
    input: bytes("HTTP/1.1 200 OK", "content-length: 5", "", ""),
    expectation: HEAD,
    responses: [{ ...OK, body: "", bodyBytes: 0 }],
  },
  {
    title: "204 and 304",
    input: bytes(
      "HTTP/1.1 204 No Content",
      "",
      "HTTP/1.1 304 Not Modified",
      "content-length: 9",
      "",
      "",
    ),
    responses: [
      { status: 204, body: "", bodyBytes: 0, keepAlive: true },
      { status: 304, body: "", bodyBytes: 0, keepAlive: true },
    ],
  },
  {
    title: "an interim response before the real one",
    input: bytes("HTTP/1.1 100 Continue", "", "HTTP/1.1 200 OK", "content-length: 5", "", "hello"),
    responses: [OK],
  },
  {
    title: "Connection: close in any case and in a list",
    input: bytes("HTTP/1.1 200 OK", "CONNECTION: foo, Close", "content-length: 5", "", "hello"),
    responses: [{ ...OK, keepAlive: false }],
  },
  {
    title: "HTTP/1.0, which closes unless it says otherwise",
    input: bytes(
      "HTTP/1.0 200 OK",
      "connection: keep-alive",
      "content-length: 5",
      "",
      "helloHTTP/1.0 200 OK",
      "content-length: 5",
      "",
      "hello",
    ),
    responses: [OK, { ...OK, keepAlive: false }],
  },
  {
    title: "three responses one behind the other",
    input: bytes(
      "HTTP/1.1 200 OK",
      "content-length: 5",
      "",
      "helloHTTP/1.1 200",
      "transfer-encoding: chunked",
      "",
      "5",
      "hello",
      "0",
      "",
      "HTTP/1.1 404 Not Found",
      "content-length: 2",
      "",
      "no",
    ),
    responses: [OK, OK, { status: 404, body: "no", bodyBytes: 2, keepAlive: true }],
  },
];

describe("ResponseParser", () => {
  for (const { title, input, expectation = GET, end = false, responses } of cases) {
    test(`reads ${title}, cut at every byte boundary`, () => {
      assert.deepEqual(parse([input], expectation, end).responses, responses);
      for (let cut = 1; cut < input.length; cut++) {
        const pieces = [input.subarray(0, cut), input.subarray(cut)];
        assert.deepEqual(parse(pieces, expectation, end).responses, responses, `cut at ${cut}`);
      }
      const single = Array.from(input, (_, at) => input.subarray(at, at + 1));
      assert.deepEqual(parse(single, expectation, end).responses, responses, "byte by byte");
    });

    test(`never takes a beginning of ${title} for the whole`, () => {
      if (end) return;
      for (let length = 0; length < input.length; length++) {
        const found = parse([input.subarray(0, length)], expectation, true);
        assert.ok(found.responses.length < responses.length, `${length} bytes`);
        assert.deepEqual(found.responses, responses.slice(0, found.responses.length));
      }
    });
  }

  test("says whether a response has begun", () => {
    const input = bytes("HTTP/1.1 200 OK", "content-length: 5", "", "hello");
    assert.equal(parse([], GET).partial, false);
    for (let length = 1; length < input.length; length++) {
      assert.equal(parse([input.subarray(0, length)], GET).partial, true, `${length} bytes`);
    }
    assert.equal(parse([input], GET).partial, false);
  });

  test("keeps only as much of a body as is wanted", () => {
    const input = bytes("HTTP/1.1 200 OK", "content-length: 5", "", "hello");
    for (let cut = 1; cut < input.length; cut++) {
      const pieces = [input.subarray(0, cut), input.subarray(cut)];
      const { responses } = parse(pieces, { head: false, keepBytes: 3 });
      assert.deepEqual(responses, [{ ...OK, body: "hel" }]);
    }
  });

  test("finds fields by name", () => {
    const parser = new ResponseParser();
    parser.read(bytes("HTTP/1.1 204 x", "X-Generation:  7 ", "x-gen: 8", "", ""), 0, GET);
    const response = parser.take();
    assert.equal(response.field("x-generation"), "7");
    assert.equal(response.field("x-gen"), "8");
    assert.equal(response.field("x"), undefined);
  });

  const broken: readonly (readonly [title: string, input: Uint8Array])[] = [
    ["another protocol", bytes("SSH-2.0-OpenSSH_9.2", "")],
    ["TLS", Buffer.from([22, 3, 1, 2, 0])],
    ["HTTP/2 as a version", bytes("HTTP/2 200 OK", "", "")],
    ["a status that is no number", bytes("HTTP/1.1 2x0 OK", "", "")],
    ["a status of four digits", bytes("HTTP/1.1 2000 OK", "", "")],
    ["a line without a colon", bytes("HTTP/1.1 200 OK", "nonsense", "", "")],
    ["a folded line", bytes("HTTP/1.1 200 OK", "a: b", " c", "", "")],
    ["a space before the colon", bytes("HTTP/1.1 200 OK", "a : b", "", "")],
    ["lines that end in LF alone", bytes("HTTP/1.1 200 OK\na: b", "", "")],
    ["a length that is no number", bytes("HTTP/1.1 200 OK", "content-length: -1", "", "")],
    [
      "two lengths",
      bytes("HTTP/1.1 200 OK", "content-length: 1", "content-length: 2", "", ""),
    ],
    ["a chunk without a size", bytes("HTTP/1.1 200 OK", "transfer-encoding: chunked", "", "", "")],
    [
      "a chunk that is longer than its size",
      bytes("HTTP/1.1 200 OK", "transfer-encoding: chunked", "", "1", "ab", "0", "", ""),
    ],
    [
      "a trailer whose empty line ends in CR alone",
      bytes("HTTP/1.1 200 OK", "transfer-encoding: chunked", "", "0", "\rx"),
    ],
    ["a head without an end", Buffer.alloc(70_000, "HTTP/1.1 200 OK\r\na: b\r\n")],
  ];

  for (const [title, input] of broken) {
    test(`throws when it reads ${title}`, () => {
      assert.throws(() => parse([input], GET), MalformedResponse);
    });
  }
});
