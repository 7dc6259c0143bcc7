import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type DrainPlan,
  type DrainReport,
  type NamedDrainable,
  runDrain,
} from "../../src/drain/drain.ts";
import { watchHttp } from "../../src/drain/http.ts";
import { fakeBackend } from "../../src/testing/mod.ts";
import type { FakeConnection } from "../support/fake_app.ts";
import { FakeHttpServer, FakeResponse } from "../support/fake_http.ts";

const PLAN: DrainPlan = { timeoutMs: 30_000, spreadMs: 800, idleGraceMs: 5000 };

/** Node's types of listeners are too exact for the few methods that are used. */
const watched = (server: FakeHttpServer): NamedDrainable => ({
  identity: "tcp:*:80",
  drainable: watchHttp(server as never),
});

/** What a report says about the only server and, the same, about all. */
const reported = (counts: Omit<DrainReport, "servers" | "durationMs">, durationMs: number) => ({
  ...counts,
  durationMs,
  servers: [{ identity: "tcp:*:80", kind: "http", ...counts }],
});

interface Rig {
  readonly server: FakeHttpServer;
  readonly connections: readonly FakeConnection[];
  readonly advance: (ms: number) => Promise<void>;
  readonly drain: (plan?: Partial<DrainPlan>) => Running;
}

interface Running {
  readonly report: Promise<DrainReport>;
  readonly cutNow: () => void;
  /** Set once the report is there. */
  readonly done: () => boolean;
}

/** A server with so many idle connections. */
function rig(count: number, tls = false): Rig {
  const { clock } = fakeBackend();
  const server = new FakeHttpServer(tls);
  const drainable = watched(server);
  const connections = Array.from({ length: count }, () => server.connect());
  return {
    server,
    connections,
    advance: (ms) => clock.advance(ms),
    drain: (plan = {}) => {
      const { report, cutNow } = runDrain([drainable], { ...PLAN, ...plan }, clock);
      let done = false;
      report.then(() => done = true);
      return { report, cutNow, done: () => done };
    },
  };
}

describe("before a drain", () => {
  test("responses are left alone", () => {
    const { server, connections } = rig(1);
    assert.equal(server.serve(connections[0] as FakeConnection), false);
  });

  test("connections are counted while they are open", async () => {
    const { clock } = fakeBackend();
    const server = new FakeHttpServer();
    const drainable = watched(server);
    const connection = server.connect();
    server.connect();
    assert.equal(drainable.drainable.connections(), 2);
    connection.destroy();
    await clock.advance(0);
    assert.equal(drainable.drainable.connections(), 1);
  });
});

describe("a drain", () => {
  test("of nothing is over at once", async () => {
    const { drain } = rig(0);
    assert.deepEqual(
      await drain().report,
      reported(
        { connections: 0, served: 0, closedIdle: 0, closedPolitely: 0, cut: 0 },
        0,
      ),
    );
  });

  test("gives the turns evenly over the spread, in the order in which clients came", async () => {
    const { server, connections, advance, drain } = rig(8);
    drain({ spreadMs: 800 });
    const turns: number[] = [];
    for (let now = 0; now < 800; now += 100) {
      const told = connections.filter((connection) =>
        !connection.destroyed && server.serve(connection)
      );
      turns.push(told.length);
      assert.equal(told[0], connections[now / 100]);
      await advance(100);
    }
    assert.deepEqual(turns, [1, 1, 1, 1, 1, 1, 1, 1]);
  });

  test("without a spread tells everybody at once", () => {
    const { server, connections, drain } = rig(5);
    drain({ spreadMs: 0 });
    assert.deepEqual(connections.map((connection) => server.serve(connection)), [
      true,
      true,
      true,
      true,
      true,
    ]);
  });

  test("tells everybody once the spread is over", async () => {
    const { server, connections, advance, drain } = rig(5);
    drain();
    await advance(800);
    assert.ok(connections.every((connection) => server.serve(connection)));
  });

  test("decides when a head is written: a response that began before the turn can be the last", async () => {
    const { server, connections, advance, drain } = rig(3);
    const [, second, third] = connections as [FakeConnection, FakeConnection, FakeConnection];
    const [early, late] = [server.request(third), server.request(second)];
    drain({ spreadMs: 900 });
    await advance(599);
    early.finish();
    assert.equal(early.saysGoodbye, false);
    await advance(1);
    late.finish();
    assert.equal(late.saysGoodbye, true);
  });

  test("leaves a response alone whose head was sent before its turn, and tells the next one", async () => {
    const { server, connections, advance, drain } = rig(1);
    const [connection] = connections as [FakeConnection];
    const streaming = server.request(connection);
    streaming.headersSent = true;
    const running = drain({ idleGraceMs: 1000 });
    await advance(10_000);
    assert.equal(streaming.saysGoodbye, false);
    assert.equal(connection.destroyed || connection.ended, false);
    streaming.finish();
    await advance(500);
    assert.equal(server.serve(connection), true);
    assert.deepEqual(
      await running.report,
      reported(
        { connections: 1, served: 2, closedIdle: 0, closedPolitely: 1, cut: 0 },
        10_500,
      ),
    );
  });

  test("keeps idle connections for the grace and then ends them", async () => {
    const { connections, advance, drain } = rig(3);
    const running = drain({ idleGraceMs: 5000 });
    await advance(4999);
    assert.ok(connections.every(({ ended, destroyed }) => !ended && !destroyed));
    await advance(1);
    assert.ok(connections.every(({ ended }) => ended));
    // The clients answer the FIN.
    for (const connection of connections) connection.destroy();
    assert.deepEqual(
      await running.report,
      reported(
        { connections: 3, served: 0, closedIdle: 3, closedPolitely: 0, cut: 0 },
        5000,
      ),
    );
  });

  test("destroys an idle connection whose client does not answer the FIN", async () => {
    const { connections, advance, drain } = rig(1);
    const running = drain({ idleGraceMs: 5000 });
    await advance(5999);
    assert.equal(connections[0]?.destroyed, false);
    await advance(1);
    assert.equal(connections[0]?.destroyed, true);
    const report = await running.report;
    assert.equal(report.closedIdle, 1);
    assert.equal(report.cut, 0);
  });

  test("gives the whole grace again to a connection that was used meanwhile", async () => {
    const { server, connections, advance, drain } = rig(2);
    const [, second] = connections as [FakeConnection, FakeConnection];
    drain({ spreadMs: 10_000, idleGraceMs: 3000 });
    await advance(2000);
    assert.equal(server.serve(second), false);
    await advance(2999);
    assert.equal(second.ended, false);
    await advance(20);
    assert.equal(second.ended, true);
  });

  test("does not end a connection between a request and its response", async () => {
    const { server, connections, advance, drain } = rig(1);
    const [connection] = connections as [FakeConnection];
    drain({ idleGraceMs: 100 });
    await advance(50);
    const response = server.request(connection);
    await advance(10_000);
    assert.equal(connection.ended, false);
    response.finish();
    assert.equal(response.saysGoodbye, true);
    assert.equal(connection.destroyed, true);
  });

  test("serves and closes a connection that was accepted just before the listener was closed", async () => {
    const { server, advance, drain } = rig(1);
    const running = drain({ idleGraceMs: 1000 });
    const late = server.connect();
    assert.equal(server.serve(late), true);
    const idle = server.connect();
    await advance(1000);
    assert.equal(idle.ended, true);
    await advance(1000);
    assert.equal((await running.report).cut, 0);
  });

  test("cuts what is left at the deadline, and counts it", async () => {
    const { server, connections, advance, drain } = rig(3);
    const [first, second] = connections as [FakeConnection, FakeConnection];
    server.request(first);
    server.request(second);
    const running = drain({ timeoutMs: 2000, idleGraceMs: 500 });
    await advance(1999);
    assert.equal(running.done(), false);
    await advance(1);
    assert.ok(first.destroyed && second.destroyed);
    const report = await running.report;
    assert.equal(report.cut, 2);
    assert.equal(report.closedIdle, 1);
    assert.equal(report.durationMs, 2000);
  });

  test("cuts at once when it is told to, once", async () => {
    const { connections, drain } = rig(4);
    const running = drain();
    running.cutNow();
    running.cutNow();
    assert.equal((await running.report).cut, 4);
    assert.ok(connections.every(({ destroyed }) => destroyed));
  });

  test("without time cuts at once", async () => {
    const { advance, drain } = rig(2);
    const running = drain({ timeoutMs: 0 });
    await advance(0);
    assert.equal((await running.report).cut, 2);
  });

  test("counts the requests that were served in it, and not those before", async () => {
    const { server, connections, drain } = rig(2);
    for (const connection of connections) server.serve(connection);
    // In one turn of the event loop, on Bun, they would have been sent ahead.
    await new Promise((resolve) => setTimeout(resolve, 1));
    const running = drain({ spreadMs: 0 });
    for (const connection of connections) server.serve(connection);
    assert.equal((await running.report).served, 2);
  });

  test("waits for all servers", async () => {
    const { clock } = fakeBackend();
    const servers = [new FakeHttpServer(), new FakeHttpServer()] as const;
    const drainables = servers.map((server) => watched(server));
    const [one, other] = servers.map((server) => server.connect()) as [
      FakeConnection,
      FakeConnection,
    ];
    const { report } = runDrain(drainables, PLAN, clock);
    let done = false;
    report.then(() => done = true);
    one.destroy();
    await clock.advance(0);
    assert.equal(done, false);
    other.destroy();
    assert.equal((await report).connections, 2);
  });
});

describe("a connection that speaks another protocol", () => {
  for (const event of ["upgrade", "connect"] as const) {
    for (const when of ["before", "after"] as const) {
      test(`by ${event} is waited for, if the handler was added ${when} the drain began to watch`, async () => {
        const { clock } = fakeBackend();
        const server = new FakeHttpServer();
        const taken: unknown[] = [];
        const handler = (_request: unknown, socket: unknown) => void taken.push(socket);
        if (when === "before") server.on(event, handler);
        const drainable = watched(server);
        if (when === "after") server.on(event, handler);
        const socket = server.connect();
        server.emit(event, { socket, httpVersionMajor: 1 }, socket);
        assert.deepEqual(taken, [socket]);
        const { report } = runDrain([drainable], PLAN, clock);
        await clock.advance(29_999);
        assert.equal(socket.ended || socket.destroyed, false);
        await clock.advance(1);
        assert.equal((await report).cut, 1);
      });
    }

    test(`is not asked for: without a handler for ${event} the server does what it always does`, () => {
      const server = new FakeHttpServer();
      watched(server);
      assert.equal(server.listenerCount(event), 0);
    });
  }

  test("ends the drain when it ends by itself", async () => {
    const { clock } = fakeBackend();
    const server = new FakeHttpServer();
    server.on("upgrade", () => {});
    const drainable = watched(server);
    const socket = server.connect();
    server.emit("upgrade", { socket, httpVersionMajor: 1 }, socket);
    const { report } = runDrain([drainable], PLAN, clock);
    await clock.advance(7000);
    socket.destroy();
    assert.deepEqual(
      await report,
      reported(
        { connections: 1, served: 0, closedIdle: 0, closedPolitely: 0, cut: 0 },
        7000,
      ),
    );
  });
});

test("on a TLS server the connections are the secure ones", () => {
  const server = new FakeHttpServer(true);
  const drainable = watched(server);
  server.emit("connection", server);
  assert.equal(drainable.drainable.connections(), 0);
  server.connect();
  assert.equal(drainable.drainable.connections(), 1);
});

test("an HTTP/2 request on the same server is left alone", () => {
  const { server, connections, drain } = rig(1);
  drain({ spreadMs: 0 });
  const response = server.request(connections[0] as FakeConnection, 2);
  response.finish();
  assert.equal(response.saysGoodbye, false);
});

describe("the last response", () => {
  test("is the one to the newest request that has arrived, when a client sends them ahead", async () => {
    const { server, connections, drain, advance } = rig(1);
    const [connection] = connections as [FakeConnection];
    drain({ spreadMs: 0 });
    const responses = [server.request(connection), server.request(connection)] as const;
    await advance(0);
    responses[0].finish();
    const third = server.request(connection);
    await advance(0);
    responses[1].finish();
    assert.deepEqual(responses.map(({ saysGoodbye }) => saysGoodbye), [false, false]);
    third.finish();
    assert.equal(third.saysGoodbye, true);
  });

  test("is not one that is answered at once, when the client is known to send more ahead; until its grace is over", async () => {
    const { server, connections, drain, advance } = rig(1);
    const [connection] = connections as [FakeConnection];
    const before = [server.request(connection), server.request(connection)];
    for (const response of before) response.finish();
    drain({ spreadMs: 0, idleGraceMs: 1000 });
    await advance(500);
    assert.equal(server.serve(connection), false);
    await advance(501);
    assert.equal(server.serve(connection), true);
  });

  test("says it whatever the handler says in Connection, and keeps what else it says", () => {
    const values: (string | undefined)[] = [];
    for (
      const headers of [
        undefined,
        { "X-A": "1" },
        { connection: "keep-alive", "X-A": "1" },
        ["Connection", "keep-alive, Upgrade"],
        [["X-A", "1"], ["connection", "Keep-Alive"]],
      ]
    ) {
      const { server, connections, drain } = rig(1);
      drain({ spreadMs: 0 });
      const response = server.request(connections[0] as FakeConnection);
      response.setHeader("Connection", "keep-alive");
      response.writeHead(201, headers as string[]);
      assert.equal(response.status, 201);
      if (JSON.stringify(headers)?.includes("X-A")) assert.equal(response.getHeader("X-A"), "1");
      values.push(response.getHeader("Connection"));
    }
    assert.deepEqual(values, ["close", "close", "close", "Upgrade, close", "close"]);
  });

  test("is none that only informs", () => {
    const { server, connections, drain } = rig(1);
    drain({ spreadMs: 0 });
    const response = server.request(connections[0] as FakeConnection);
    response.writeHead(103);
    assert.equal(response.saysGoodbye, false);
    response.writeHead(200);
    assert.equal(response.saysGoodbye, true);
  });
});

test("a request that waits for 100-continue is in flight, whoever answers it", async () => {
  for (const handsOn of [false, true]) {
    const { clock } = fakeBackend();
    const server = new FakeHttpServer();
    const responses: FakeResponse[] = [];
    server.on("checkContinue", (request, response) => {
      if (handsOn) server.emit("request", request, response);
      responses.push(response);
    });
    const drainable = watched(server);
    const socket = server.connect();
    const { report } = runDrain([drainable], { ...PLAN, spreadMs: 0 }, clock);
    const response = new FakeResponse(socket);
    server.emit("checkContinue", { socket, httpVersionMajor: 1 }, response);
    await clock.advance(20_000);
    assert.equal(socket.ended, false);
    responses[0]?.finish();
    assert.equal((await report).served, 1, "counted once");
    assert.equal((await report).closedPolitely, 1);
  }
});

test("a connection on which a part of a request has arrived has the whole grace again", async () => {
  const { connections, advance, drain } = rig(2);
  const [sending, idle] = connections as [FakeConnection, FakeConnection];
  drain({ idleGraceMs: 1000 });
  await advance(900);
  sending.bytesRead += 10;
  await advance(100);
  assert.deepEqual([sending.ended, idle.ended], [false, true]);
  await advance(980);
  assert.equal(sending.ended, false);
  await advance(20);
  assert.equal(sending.ended, true);
});

test("a thousand idle connections are closed in portions, between which the event loop turns", async () => {
  const { connections, advance, drain } = rig(1000);
  const running = drain({ idleGraceMs: 1000 });
  await advance(1000);
  assert.equal(connections.filter(({ ended }) => ended).length, 100);
  await advance(90);
  assert.equal(connections.filter(({ ended }) => ended).length, 1000);
  await advance(1000);
  assert.equal((await running.report).closedIdle, 1000);
});

test("a response that was cut off was not served", async () => {
  const { server, connections, drain } = rig(1);
  const [connection] = connections as [FakeConnection];
  const running = drain({ spreadMs: 0 });
  const response = server.request(connection);
  response.writableFinished = false;
  response.emit("close");
  connection.destroy();
  assert.equal((await running.report).served, 0);
});
