// Runs on: node22, node26, deno, bun
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  MAX_BODY_BYTES,
  MAX_HEAD_BYTES,
  type Reading,
  RequestReader,
} from "../../src/control/request.ts";

const bytesOf = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const read = (text: string) => new RequestReader().push(bytesOf(text));
const refused = (text: string) => read(text)?.refusal?.status;
const HOST = "Host: x\r\n";

describe("a request", () => {
  test("is read with its method and its path, without the query", () => {
    for (
      const [line, method, path] of [
        ["GET /status HTTP/1.1", "GET", "/status"],
        ["POST /upgrade?now=1 HTTP/1.1", "POST", "/upgrade"],
        ["GET http://x/status#top HTTP/1.1", "GET", "/status"],
        ["GET http://x HTTP/1.1", "GET", "/"],
        ["OPTIONS * HTTP/1.1", "OPTIONS", "*"],
        ["get //..//%00 HTTP/1.0", "get", "//..//%00"],
      ] as const
    ) {
      assert.deepEqual(read(`${line}\r\n${HOST}\r\n`)?.request, { method, path });
    }
  });

  test("is complete when its body is, however it is cut", () => {
    const text = `POST /upgrade HTTP/1.1\r\n${HOST}Content-Length: 5\r\nX: \xe9\r\n\r\nhello`;
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes) => {
        const reader = new RequestReader();
        let reading: Reading | undefined;
        let at = 0;
        for (let turn = 0; at < text.length; turn++) {
          assert.equal(reading, undefined);
          const size = sizes[turn % sizes.length] ?? 1;
          reading = reader.push(bytesOf(text.slice(at, at + size)));
          at += size;
        }
        assert.deepEqual(reading, { request: { method: "POST", path: "/upgrade" } });
      }),
    );
  });

  test("may have whatever behind it: there is one per connection", () => {
    assert.equal(read(`GET / HTTP/1.1\r\n${HOST}\r\nGET / HTTP/1.1`)?.request?.path, "/");
  });
});

describe("what is no request", () => {
  test("is refused as soon as that is known", () => {
    const line = "GET / HTTP/1.1\r\n";
    const bad: readonly (readonly [string, number])[] = [
      ["\r\n", 400],
      ["GET / HTTP/1.1\n", 400],
      ["hello\r\n\r\n", 400],
      ["GET  / HTTP/1.1\r\n\r\n", 400],
      ["G\x00T / HTTP/1.1\r\n\r\n", 400],
      ["GET /\x7f HTTP/1.1\r\n\r\n", 400],
      [`GET status HTTP/1.1\r\n${HOST}\r\n`, 400],
      ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505],
      [`${line}\r\n`, 400],
      [`${line}${HOST}${HOST}\r\n`, 400],
      [`${line}${HOST}: none\r\n\r\n`, 400],
      [`${line}${HOST}Folded: a\r\n b\r\n\r\n`, 400],
      [`${line}${HOST}Name : a\r\n\r\n`, 400],
      [`${line}${HOST}A: \x00\r\n\r\n`, 400],
      [`${line}${HOST}Content-Length: -1\r\n\r\n`, 400],
      [`${line}${HOST}Content-Length: 1e3\r\n\r\n`, 400],
      [`${line}${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 400],
      [`${line}${HOST}Content-Length: ${MAX_BODY_BYTES + 1}\r\n\r\n`, 413],
      [`${line}${HOST}Transfer-Encoding: chunked\r\n\r\n`, 411],
      [`${line}${HOST}Expect: 100-continue\r\n\r\n`, 417],
      [`${line}${HOST}A: ${"a".repeat(MAX_HEAD_BYTES)}`, 431],
      [`${line}${HOST}A: ${"a".repeat(MAX_HEAD_BYTES)}\r\n\r\n`, 431],
    ];
    for (const [text, status] of bad) {
      assert.equal(refused(text), status, JSON.stringify(text.slice(0, 80)));
    }
  });

  test("is never more than asked for, refused, or waited for", () => {
    const pieces = fc.array(
      fc.oneof(
        fc.constantFrom(
          "GET ",
          "/status ",
          "HTTP/1.1",
          "\r\n",
          "\n",
          "\r",
          HOST,
          ":",
          "Content-Length: 3\r\n",
        ),
        fc.string({ unit: "binary-ascii", maxLength: 8 }),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(pieces, (texts) => {
        const reader = new RequestReader();
        for (const text of texts) {
          const reading = reader.push(bytesOf(text));
          if (reading === undefined) continue;
          if (reading.request !== undefined) assert.match(reading.request.method, /^[^\s]+$/);
          else {assert.ok(
              reading.refusal.status >= 400 && reading.refusal.message.startsWith("Cannot "),
            );}
          return;
        }
      }),
      { numRuns: 2000 },
    );
  });
});
