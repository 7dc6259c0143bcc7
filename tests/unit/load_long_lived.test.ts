// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import net from "node:net";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EventStream } from "../../bench/load/event_stream.ts";
import { type LoadOptions, type Outcome, type Report, startLoad } from "../../bench/load/load.ts";
import { afterPoll, assertOutcomes, misbehave, type Seen, until } from "../support/misbehave.ts";

type Outcomes = { readonly [outcome in Outcome]?: number };

const HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
const CHUNKED = `${HEAD}transfer-encoding: chunked\r\n\r\n`;
const UNTIL_CLOSE = `${HEAD}connection: close\r\n\r\n`;
const LAST = "0\r\n\r\n";

const event = (id: number | string) => `id: ${id}\ndata: news\n\n`;
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

describe("EventStream", () => {
  const read = (text: string, pieces = 1) => {
    const stream = new EventStream();
    const bytes = Buffer.from(text);
    const size = Math.ceil(bytes.length / pieces);
    for (let at = 0; at < bytes.length; at += size) {
      stream.read(bytes, at, Math.min(bytes.length, at + size));
    }
    return stream;
  };

  for (const end of ["\n", "\r\n", "\r"]) {
    test(`counts events whatever ends its lines (${JSON.stringify(end)}) and however it is cut`, () => {
      const text = `: hello\n\nid: 7\ndata: a\ndata: b\n\nretry: 50\n\n${event(8)}`
        .replaceAll("\n", end);
      for (let pieces = 1; pieces <= text.length; pieces++) {
        const { events, blocks, retryMs, isInEvent } = read(text, pieces);
        const found = { events, blocks, retryMs, isInEvent };
        assert.deepEqual(found, { events: 2, blocks: 4, retryMs: 50, isInEvent: false });
      }
    });
  }

  const wrong: readonly (readonly [string, string])[] = [
    ["a gap", event(1) + event(3)],
    ["an event that comes again", event(1) + event(1)],
    ["an event without an id", event(1) + "data: news\n\n"],
    ["an id that is no number", event("x")],
  ];
  for (const [title, text] of wrong) {
    test(`refuses ${title}`, () => assert.throws(() => read(text), { name: "MalformedResponse" }));
  }

  test("is in an event until its empty line has come, and not in a comment", () => {
    for (const text of ["id: 1", "id: 1\n", "data: news\n", `${event(1)}d`]) {
      assert.equal(read(text).isInEvent, true, JSON.stringify(text));
    }
    for (const text of ["", event(1), ": still here\n"]) {
      assert.equal(read(text).isInEvent, false, JSON.stringify(text));
    }
  });
});

describe("a client of server-sent events", () => {
  interface Case {
    readonly title: string;
    readonly behaviour: (seen: Seen) => void;
    readonly outcomes: Outcomes;
    readonly options?: Partial<LoadOptions>;
    readonly events?: number;
  }

  const cut = (text: string, how: (socket: net.Socket) => void) => ({ socket }: Seen) => {
    socket.write(text);
    afterPoll(() => how(socket));
  };
  const reset = (socket: net.Socket) => void socket.resetAndDestroy();
  const fin = (socket: net.Socket) => void socket.end();

  const cases: readonly Case[] = [
    {
      title:
        "answered when the server ends the stream after a whole event, on the same connection again",
      behaviour: ({ socket }) =>
        socket.write(CHUNKED + chunk(event(1)) + chunk(event(2)) + chunk("retry: 5\n\n") + LAST),
      outcomes: { answered: 2 },
      options: { maxRequests: 2 },
      events: 4,
    },
    {
      title: "answered when a stream without chunks ends in FIN after a whole event",
      behaviour: cut(UNTIL_CLOSE + event(1), fin),
      outcomes: { answered: 2, "not-sent": 1 },
      options: { maxRequests: 2 },
      events: 2,
    },
    {
      title: "answered when there was no event at all, only a hint when to come back",
      behaviour: ({ socket }) => socket.write(CHUNKED + chunk("retry: 5\n\n") + LAST),
      outcomes: { answered: 1 },
    },
    {
      title: "reset-after-partial when the stream is reset in the middle of an event",
      behaviour: cut(CHUNKED + chunk(event(1) + "id: 2\n"), reset),
      outcomes: { "reset-after-partial": 1 },
      events: 1,
    },
    {
      title: "reset-after-partial when it is reset after a whole event",
      behaviour: cut(CHUNKED + chunk(event(1)), reset),
      outcomes: { "reset-after-partial": 1 },
      events: 1,
    },
    {
      title: "reset-before-response when it is reset before its head",
      behaviour: ({ socket }) => reset(socket),
      outcomes: { "reset-before-response": 1 },
    },
    {
      title: "eof-before-response when FIN comes before its head",
      behaviour: ({ socket }) => fin(socket),
      outcomes: { "eof-before-response": 1 },
    },
    {
      title: "answered-short when the last chunk is missing",
      behaviour: cut(CHUNKED + chunk(event(1)), fin),
      outcomes: { "answered-short": 1 },
      events: 1,
    },
    {
      title: "answered-short when the last chunk comes in the middle of an event",
      behaviour: ({ socket }) =>
        socket.write(CHUNKED + chunk(event(1)) + chunk("id: 2\ndata: n\n") + LAST),
      outcomes: { "answered-short": 1 },
      events: 1,
    },
    {
      title: "answered-short when FIN comes in the middle of an event",
      behaviour: cut(UNTIL_CLOSE + event(1) + "id: 2", fin),
      outcomes: { "answered-short": 1 },
      events: 1,
    },
    {
      title: "wrong-answer when an event is missing",
      behaviour: ({ socket }) => socket.write(CHUNKED + chunk(event(1)) + chunk(event(3))),
      outcomes: { "wrong-answer": 1 },
      events: 1,
    },
    {
      title: "wrong-answer when the answer is no stream of events",
      behaviour: ({ socket }) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
      outcomes: { "wrong-answer": 1 },
    },
    {
      title: "wrong-answer when the server is not available",
      behaviour: ({ socket }) => socket.write("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"),
      outcomes: { "wrong-answer": 1 },
    },
    {
      title: "answered when a stream takes longer than a request may, as long as there are events",
      behaviour: async ({ socket }) => {
        socket.write(CHUNKED);
        for (let id = 1; id <= 15; id++) {
          socket.write(chunk(event(id)));
          await sleep(100);
        }
        socket.write(LAST);
      },
      outcomes: { answered: 1 },
      options: { timeoutMs: 1000 },
      events: 15,
    },
    {
      title: "timed-out when no event comes for so long",
      behaviour: ({ socket }) => socket.write(CHUNKED + chunk(event(1))),
      outcomes: { "timed-out": 1 },
      options: { timeoutMs: 200 },
      events: 1,
    },
  ];
  for (const { title, behaviour, outcomes, options, events = 0 } of cases) {
    test(`says ${title}`, async () => {
      const report = await misbehave(behaviour, { sse: 1, ...options });
      assertOutcomes(report, outcomes);
      assert.equal(report.events, events);
    });
  }

  test("asks for a stream, and leaves one without end after a whole event when the load ends", async () => {
    let asked = "";
    const streams: net.Socket[] = [];
    const server = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (bytes: Buffer) => {
        asked += bytes.toString("latin1");
        if (!asked.endsWith("\r\n\r\n")) return;
        socket.write(CHUNKED + chunk(event(1)) + chunk("id: 2\n"));
        streams.push(socket);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as net.AddressInfo;
      const load = startLoad({
        target: { port },
        sse: { clients: 1, path: "/events" },
        proberMs: 0,
      });
      await until(() => load.snapshot().events === 1);
      load.mark("later");
      const stopped = load.stop();
      assert.deepEqual(load.snapshot().inconsistencies, []);
      await sleep(150); // longer than it takes to look whether clients may leave
      streams[0]!.write(chunk("data: news\n\n"));
      const report = await stopped;
      assertOutcomes(report, { answered: 1 });
      assert.equal(report.events, 2);
      assert.match(asked, /^GET \/events HTTP\/1\.1\r\n[^]*^accept: text\/event-stream\r$/m);
      // Its latency is that of its first event, which came before the mark.
      const windows = report.windows.map(({ label, answered }) => [label, answered]);
      assert.deepEqual(windows, [["start", 1], ["later", 0]]);
    } finally {
      for (const socket of streams) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

const ACCEPTED =
  "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n" +
  "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nx-generation: 1\r\n\r\n";
const RESTART = "\x88\x02\x03\xf4"; // close, 1012

interface Told {
  readonly socket: net.Socket;
  readonly text: string;
  /** The frame that echoes it. */
  readonly echo: string;
  /** 1 for the first message of its connection. */
  readonly turn: number;
}

interface WebSocketCase {
  readonly title: string;
  /** What is done instead of accepting. */
  readonly opened?: (socket: net.Socket) => void;
  /** What is done with a message. */
  readonly told?: (told: Told) => void;
  readonly options?: Partial<LoadOptions>;
  readonly outcomes: Outcomes;
  readonly endings?: Readonly<Record<string, number>>;
}

interface WebSocketReport extends Report {
  /** Whole frames of clients, by opcode, in their order. */
  readonly frames: readonly number[];
}

const write = (socket: net.Socket, text: string) => void socket.write(Buffer.from(text, "latin1"));

/** Runs a load of one WebSocket against a server that behaves like this. */
async function converse({ opened, told, options }: WebSocketCase): Promise<WebSocketReport> {
  const sockets = new Set<net.Socket>();
  const frames: number[] = [];
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    let input: Buffer = Buffer.alloc(0);
    let isOpen = false;
    let turn = 0;
    socket.on("data", (bytes: Buffer) => {
      input = Buffer.concat([input, bytes]);
      if (!isOpen) {
        const end = input.indexOf("\r\n\r\n");
        if (end < 0) return;
        input = input.subarray(end + 4);
        isOpen = true;
        if (opened !== undefined) opened(socket);
        else write(socket, ACCEPTED);
      }
      while (input.length >= 6 && input.length >= 6 + (input[1]! & 0x7f)) {
        const [opcode, size] = [input[0]! & 0x0f, input[1]! & 0x7f];
        assert.equal(input[1]! & 0x80, 0x80, "a client has to mask");
        const mask = input.subarray(2, 6);
        const text = input.subarray(6, 6 + size).map((byte, at) => byte ^ mask[at % 4]!);
        input = input.subarray(6 + size);
        frames.push(opcode);
        if (opcode !== 1) continue;
        const said = Buffer.from(text).toString("latin1");
        const echo = `\x81${String.fromCharCode(size)}${said}`;
        const reply = told ?? (() => write(socket, echo));
        reply({ socket, text: said, echo, turn: ++turn });
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as net.AddressInfo;
    const load = { webSocket: 1, proberMs: 0, maxRequests: 2, maxMs: 20_000 };
    const report = await startLoad({ target: { port }, ...load, ...options }).done;
    return { ...report, frames };
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

describe("a client of a WebSocket", () => {
  const cases: readonly WebSocketCase[] = [
    {
      title: "answered when the connection was accepted, and for each echo",
      outcomes: { answered: 4 },
      options: { maxRequests: 4 },
    },
    {
      title: "answered for the echo before a close frame, and comes back",
      told: ({ socket, echo, turn }) => write(socket, turn === 1 ? echo + RESTART : echo),
      outcomes: { answered: 4 },
      options: { maxRequests: 4 },
      endings: { "close-frame 1012": 2 },
    },
    {
      title: "eof-before-response when the echo comes behind the close frame",
      told: ({ socket, echo }) => write(socket, RESTART + echo),
      outcomes: { answered: 1, "eof-before-response": 1 },
      endings: { "close-frame 1012": 1 },
    },
    {
      title: "eof-before-response when a close frame comes instead of the echo",
      told: ({ socket }) => write(socket, "\x88\x00"),
      outcomes: { answered: 1, "eof-before-response": 1 },
      endings: { "close-frame none": 1 },
    },
    {
      title: "eof-before-response when FIN comes without a close frame",
      told: ({ socket }) => socket.end(),
      outcomes: { answered: 1, "eof-before-response": 1 },
      endings: { eof: 1 },
    },
    {
      title: "reset-before-response when it is reset instead of the echo",
      told: ({ socket }) => socket.resetAndDestroy(),
      outcomes: { answered: 1, "reset-before-response": 1 },
    },
    {
      title: "answered-short when FIN comes in the middle of the echo",
      told: ({ socket, echo }) => socket.end(Buffer.from(echo.slice(0, -1), "latin1")),
      outcomes: { answered: 1, "answered-short": 1 },
    },
    {
      title: "wrong-answer when the echo is of something else",
      told: ({ socket, text, echo }) => write(socket, echo.replace(text[0]!, "x")),
      outcomes: { answered: 1, "wrong-answer": 1 },
    },
    {
      title: "wrong-answer when the echo is binary",
      told: ({ socket, echo }) => write(socket, echo.replace("\x81", "\x82")),
      outcomes: { answered: 1, "wrong-answer": 1 },
    },
    {
      title: "timed-out when no echo comes, though pings do",
      told: ({ socket }) => write(socket, "\x89\x00"),
      outcomes: { answered: 1, "timed-out": 1 },
      options: { timeoutMs: 200 },
    },
    {
      title: "wrong-answer when the connection is not accepted",
      opened: (socket) => write(socket, "HTTP/1.1 426 No\r\ncontent-length: 0\r\n\r\n"),
      outcomes: { "wrong-answer": 2 },
    },
    {
      title: "wrong-answer when it is accepted for somebody else",
      opened: (socket) => write(socket, ACCEPTED.replace("s3pP", "S3pP")),
      outcomes: { "wrong-answer": 2 },
    },
    {
      title: "eof-before-response when FIN comes instead of the acceptance",
      opened: (socket) => socket.end(),
      outcomes: { "eof-before-response": 2 },
    },
    {
      title: "nothing lost when a close frame comes right behind the acceptance",
      opened: (socket) => write(socket, ACCEPTED + RESTART),
      outcomes: { answered: 2 },
      endings: { "close-frame 1012": 2 },
    },
  ];
  for (const each of cases) {
    test(`says ${each.title}`, async () => {
      const report = await converse(each);
      assertOutcomes(report, each.outcomes);
      for (const [ending, count] of Object.entries(each.endings ?? {})) {
        assert.equal(report.connections.endings[ending], count, ending);
      }
    });
  }

  test("answers a close frame and sends nothing behind it", async () => {
    const { frames } = await converse({
      title: "",
      told: ({ socket, echo, turn }) => write(socket, turn === 2 ? echo + RESTART : echo),
      options: { maxRequests: 4 },
      outcomes: {},
    });
    assert.deepEqual(frames, [1, 1, 8]);
  });

  test("says refused when nobody listens, for the request that would open the connection", async () => {
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const report = await startLoad({ target: { port }, webSocket: 1, proberMs: 0, maxRequests: 3 })
      .done;
    assertOutcomes(report, { refused: 3 });
  });
});
