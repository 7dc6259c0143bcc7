// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import net from "node:net";
import { describe, test } from "node:test";
import { Client } from "../../bench/load/client.ts";
import { type LoadOptions, type Outcome, startLoad } from "../../bench/load/load.ts";
import { planOf } from "../../bench/load/population.ts";
import { Tally } from "../../bench/load/tally.ts";
import { Turns } from "../../bench/load/turns.ts";
import {
  afterPoll,
  assertOutcomes,
  misbehave,
  type Seen,
  serve,
  until,
} from "../support/misbehave.ts";

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-generation: 1\r\n\r\nok";
const OK_CLOSE = OK.replace("\r\n", "\r\nconnection: close\r\n");

interface Case {
  readonly title: string;
  readonly behaviour: (seen: Seen) => void;
  readonly options: Partial<LoadOptions>;
  readonly outcomes: { readonly [outcome in Outcome]?: number };
  /** Connections that the server accepted, where it matters. */
  readonly accepted?: number;
}

const keepAlive = { keepAlive: 1 };

const cases: readonly Case[] = [
  {
    title: "reset-before-response when the server resets the connection",
    behaviour: ({ socket }) => socket.resetAndDestroy(),
    options: keepAlive,
    outcomes: { "reset-before-response": 1 },
  },
  {
    title: "reset-before-response when a reused connection is reset",
    behaviour: ({ socket, turn }) => turn === 1 ? socket.write(OK) : socket.resetAndDestroy(),
    options: { ...keepAlive, maxRequests: 2 },
    outcomes: { answered: 1, "reset-before-response": 1 },
  },
  {
    title: "reset-after-partial when the head is cut by a reset",
    behaviour: ({ socket }) => {
      socket.write(OK.slice(0, 20));
      afterPoll(() => socket.resetAndDestroy());
    },
    options: keepAlive,
    outcomes: { "reset-after-partial": 1 },
  },
  {
    title: "reset-after-partial when a body without length is cut by a reset",
    behaviour: ({ socket }) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\nabc");
      afterPoll(() => socket.resetAndDestroy());
    },
    options: keepAlive,
    outcomes: { "reset-after-partial": 1 },
  },
  {
    title: "eof-before-response when the server ends the connection instead of answering",
    behaviour: ({ socket }) => socket.end(),
    options: keepAlive,
    outcomes: { "eof-before-response": 1 },
  },
  {
    title:
      "eof-before-response when the server ends a reused connection after the request was sent",
    behaviour: ({ socket, turn }) => turn === 1 ? socket.write(OK) : socket.end(),
    options: { ...keepAlive, maxRequests: 3 },
    outcomes: { answered: 2, "eof-before-response": 1 },
    accepted: 2,
  },
  {
    title: "eof-before-response after an interim response alone",
    behaviour: ({ socket }) => socket.end("HTTP/1.1 100 Continue\r\n\r\n"),
    options: keepAlive,
    outcomes: { "eof-before-response": 1 },
  },
  {
    title: "answered-short when the head is cut",
    behaviour: ({ socket }) => socket.end(OK.slice(0, 20)),
    options: keepAlive,
    outcomes: { "answered-short": 1 },
  },
  {
    title: "answered-short when the body is shorter than its length",
    behaviour: ({ socket }) => socket.end(OK.slice(0, -1)),
    options: keepAlive,
    outcomes: { "answered-short": 1 },
  },
  {
    title: "answered-short when the last chunk is missing",
    behaviour: ({ socket }) =>
      socket.end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"),
    options: keepAlive,
    outcomes: { "answered-short": 1 },
  },
  {
    title: "wrong-answer when the status is not the expected one",
    behaviour: ({ socket }) => socket.write(OK.replace("200 OK", "503 No")),
    options: keepAlive,
    outcomes: { "wrong-answer": 1 },
  },
  {
    title: "wrong-answer when it is not HTTP",
    behaviour: ({ socket }) => socket.write("hello"),
    options: keepAlive,
    outcomes: { "wrong-answer": 1 },
  },
  {
    title: "wrong-answer when an echo has the right length and one wrong byte",
    behaviour: ({ socket, body }) => {
      const echo = Buffer.from(body);
      echo[500]! ^= 1;
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n");
      socket.write(echo);
    },
    options: { post: 1 },
    outcomes: { "wrong-answer": 1 },
  },
  {
    title: "wrong-answer when an echo is whole for HTTP but shorter than the request's body",
    behaviour: ({ socket, body }) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
      socket.write(body.subarray(0, 1000));
    },
    options: { post: 1 },
    outcomes: { "wrong-answer": 1 },
  },
  {
    title: "wrong-answer when each of two clients gets the other's echo",
    behaviour: (() => {
      let first: Seen | undefined;
      const answer = (socket: net.Socket, body: Buffer): void => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`);
        socket.write(body);
      };
      return (seen: Seen): void => {
        if (first === undefined) return void (first = seen);
        answer(first.socket, seen.body);
        answer(seen.socket, first.body);
      };
    })(),
    options: { post: 2, maxRequests: 2 },
    outcomes: { "wrong-answer": 2 },
  },
  {
    title: "wrong-answer when the caller's check says or throws so",
    behaviour: ({ socket }) => socket.write(OK),
    options: {
      ...keepAlive,
      maxRequests: 3,
      check: (() => {
        let calls = 0;
        return () => {
          if (++calls === 3) throw new Error("cannot say");
          return calls === 2 ? "not good" : undefined;
        };
      })(),
    },
    outcomes: { answered: 1, "wrong-answer": 2 },
  },
  {
    title: "timed-out when the server never answers",
    behaviour: () => {},
    options: { ...keepAlive, timeoutMs: 100 },
    outcomes: { "timed-out": 1 },
  },
  {
    title: "timed-out when the server never finishes",
    behaviour: ({ socket }) => socket.write(OK.slice(0, -1)),
    options: { ...keepAlive, timeoutMs: 100 },
    outcomes: { "timed-out": 1 },
  },
  {
    title: "not-sent, and nothing lost, when each response announces that it is the last",
    behaviour: ({ socket }) => socket.end(OK_CLOSE),
    options: { ...keepAlive, maxRequests: 5 },
    outcomes: { answered: 5, "not-sent": 4 },
    accepted: 5,
  },
  {
    title: "not-sent when the response says close but the server does not close",
    behaviour: ({ socket, turn }) => turn === 1 ? socket.write(OK_CLOSE) : socket.write("nonsense"),
    options: { ...keepAlive, maxRequests: 3 },
    outcomes: { answered: 3, "not-sent": 2 },
    accepted: 3,
  },
  {
    title: "not-sent when something came that was not asked for",
    behaviour: ({ socket }) => socket.write(OK + OK),
    options: { ...keepAlive, maxRequests: 2 },
    outcomes: { answered: 2, "not-sent": 1 },
    accepted: 2,
  },
  {
    title: "answered for one-shot clients, whoever closes",
    behaviour: ({ socket, serial }) => serial % 2 ? socket.end(OK_CLOSE) : socket.write(OK),
    options: { oneShot: 1, maxRequests: 4 },
    outcomes: { answered: 4 },
    accepted: 4,
  },
  {
    title: "eof-before-response for pipelined requests behind a response that said close",
    behaviour: ({ socket, turn }) => turn === 2 ? socket.end(OK_CLOSE) : socket.write(OK),
    options: { pipelined: { clients: 1, depth: 4 }, maxRequests: 4 },
    outcomes: { answered: 2, "eof-before-response": 2 },
  },
  {
    title: "one partial and the others without response when a pipelined batch is cut",
    behaviour: ({ socket, turn }) => {
      if (turn === 4) socket.end(OK + OK.slice(0, -1));
    },
    options: { pipelined: { clients: 1, depth: 4 }, maxRequests: 4 },
    outcomes: { answered: 1, "answered-short": 1, "eof-before-response": 2 },
  },
];

describe("load client", () => {
  for (const { title, behaviour, options, outcomes, accepted } of cases) {
    test(`says ${title}`, async () => {
      const report = await misbehave(behaviour, options);
      assertOutcomes(report, outcomes);
      if (accepted !== undefined) assert.equal(report.accepted, accepted);
    });
  }

  for (const head of ["", "content-length: 10\r\n", "transfer-encoding: chunked\r\n"]) {
    test(`never takes a reset right behind data for the end of a body ("${head.trim()}")`, async () => {
      const report = await misbehave(({ socket }) => {
        socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n3\r\nabc`, () => socket.resetAndDestroy());
      }, keepAlive);
      const { "reset-after-partial": reset, "answered-short": short } = report.outcomes;
      // The second is Node 22's: its libuv reports FIN.
      assert.equal(reset + short, 1, JSON.stringify(report.outcomes));
      assert.equal(report.lost, 1);
      assert.deepEqual(report.inconsistencies, []);
    });
  }

  test("says reset-before-response when the server closes with unread data", async () => {
    // close(2) sends RST instead of FIN when the receive queue is not empty (tcp(7), RFC 2525, section 2.17).
    const server = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    try {
      const report = await startLoad({
        target: { port },
        post: { clients: 1, bytes: 4 << 20 },
        proberMs: 0,
        maxRequests: 1,
      }).done;
      assertOutcomes(report, { "reset-before-response": 1 });
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  test("says refused when nobody listens", async () => {
    const server = await serve(() => {});
    await server.close();
    const target = { port: server.port };
    const report = await startLoad({ target, keepAlive: 1, proberMs: 0, maxRequests: 3 }).done;
    assertOutcomes(report, { refused: 3 });
  });

  test("says refused when a Unix socket's path is missing", async () => {
    const target = { path: "/nonexistent/changeover.sock" };
    const report = await startLoad({ target, keepAlive: 1, proberMs: 0, maxRequests: 1 }).done;
    assertOutcomes(report, { refused: 1 });
  });

  test("does not use a connection again that still is owed the rest of a request", async () => {
    let accepted = 0;
    const server = net.createServer((socket) => {
      accepted++;
      socket.on("error", () => {});
      socket.once("data", () => socket.write(OK));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    try {
      const slowWriter = { clients: 1, method: "GET", pieces: 2, pauseMs: 100 } as const;
      const report = await startLoad({
        target: { port },
        slowWriter,
        proberMs: 0,
        maxRequests: 3,
      }).done;
      assertOutcomes(report, { answered: 3 });
      assert.equal(accepted, 3);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  test("does not wait for clients that think when it is stopped", async () => {
    const server = await serve(({ socket }) => socket.write(OK));
    try {
      const load = startLoad({
        target: { port: server.port },
        keepAlive: 3,
        thinkMs: 1_000_000,
        maxMs: 2_000_000,
      });
      await until(() => load.snapshot().answered === 3);
      assertOutcomes(await load.stop(), { answered: 3 });
    } finally {
      await server.close();
    }
  });

  test("gives every request a class when it is stopped under way", async () => {
    const server = await serve(({ socket, turn }) => turn < 3 && socket.write(OK));
    try {
      const load = startLoad({
        target: { port: server.port },
        keepAlive: 4,
        oneShot: 2,
        proberMs: 1,
        timeoutMs: 300,
      });
      await until(() => load.snapshot().answered >= 8);
      const before = load.snapshot();
      assert.deepEqual(before.inconsistencies, []);
      const report = await load.stop();
      assert.equal(await load.stop(), report);
      assert.deepEqual(report.inconsistencies, []);
      assert.equal(report.inFlight, 0);
      assert.equal(report.lost, report.outcomes["timed-out"]);
      assert.ok(report.lost >= 1);
      assert.equal(report.prober?.inFlight, 0);
    } finally {
      await server.close();
    }
  });

  test("counts the losses of the prober apart", async () => {
    const server = await serve(({ socket, turn }) => turn === 1 ? socket.end() : socket.write(OK));
    try {
      const load = startLoad({ target: { port: server.port }, proberMs: 1 });
      await until(() => load.snapshot().prober!.lost >= 3);
      const report = await load.stop();
      assert.equal(report.sent, 0);
      assert.equal(report.lost, 0);
      assert.equal(report.prober?.lost, report.prober?.outcomes["eof-before-response"]);
      assert.equal(report.consistent, true);
    } finally {
      await server.close();
    }
  });
});

describe("Client", () => {
  const endings: readonly (readonly [string, string, (socket: net.Socket) => void])[] = [
    ["FIN", "eof", (socket) => socket.end()],
    ["reset", "reset ECONNRESET", (socket) => socket.resetAndDestroy()],
  ];
  for (const [name, ending, end] of endings) {
    test(`does not send on a connection whose ${name} it saw while it was idle`, async () => {
      const ended: Promise<void>[] = [];
      const server = await serve(({ socket, serial }) => {
        if (serial > 1) return socket.write(OK);
        ended.push(new Promise((resolve) => socket.once("close", () => resolve())));
        socket.write(OK);
        afterPoll(() => end(socket));
      });
      const tally = new Tally("start", 0);
      let left!: () => void;
      const gone = new Promise<void>((resolve) => left = resolve);
      let budget = 2;
      let wake: (() => void) | undefined;
      const defaults = { host: "x", path: "/", thinkMs: 1, echo: "body" as const, headers: {} };
      const client = new Client(planOf("keepAlive", "keepAlive", { clients: 1 }, defaults), {
        target: { port: server.port },
        tally,
        turns: new Turns(),
        timeoutMs: 5000,
        expectStatus: 200,
        identify: () => "1",
        check: undefined,
        now: () => performance.now(),
        // The pause between two requests lasts until the test says so.
        later: (_ms, task) => {
          wake = task;
          return () => wake = undefined;
        },
        take: () => budget-- > 0,
        left,
      });
      client.start();
      await until(() => wake !== undefined && ended.length > 0);
      await until(() => tally.wire.endings.size > 0);
      await ended[0];
      wake!();
      wake = undefined;
      await until(() => wake !== undefined);
      wake!();
      await gone;
      await server.close();
      const report = tally.report(performance.now());
      assert.deepEqual(report.inconsistencies, []);
      assert.equal(report.answered, 2);
      assert.equal(report.notSent, 1);
      assert.equal(report.lost, 0);
      assert.equal(report.connections.endings[ending], 1);
      assert.equal(server.connections(), 2);
    });
  }
});
