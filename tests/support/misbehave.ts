/**
 * Servers that misbehave, and what the load client has to say of them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import net from "node:net";
import { clearTimeout, setTimeout } from "node:timers";
import { type LoadOptions, type Outcome, type Report, startLoad } from "../../bench/load/load.ts";
import { Turns } from "../../bench/load/turns.ts";

/** A whole request as a misbehaving server sees it. */
export interface Seen {
  readonly socket: net.Socket;
  /** 1 for the first request of the server, whatever its connection. */
  readonly serial: number;
  /** 1 for the first request of its connection. */
  readonly turn: number;
  readonly body: Buffer;
}

/** A running server. */
export interface Server {
  readonly port: number;
  readonly connections: () => number;
  close(): Promise<void>;
}

/** Starts a raw server that calls `onRequest` for each whole request; nothing else is done to the socket. */
export async function serve(onRequest: (seen: Seen) => void): Promise<Server> {
  const sockets = new Set<net.Socket>();
  let serial = 0;
  let connections = 0;
  const server = net.createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    let turn = 0;
    let input: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      input = Buffer.concat([input, chunk]);
      for (;;) {
        const head = input.indexOf("\r\n\r\n");
        if (head < 0) return;
        const length = /content-length: (\d+)/i.exec(input.toString("latin1", 0, head))?.[1] ?? "0";
        const end = head + 4 + Number(length);
        if (input.length < end) return;
        const body = input.subarray(head + 4, end);
        input = input.subarray(end);
        onRequest({ socket, serial: ++serial, turn: ++turn, body });
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Runs a load of one client against a server that behaves like this. */
export async function misbehave(
  onRequest: (seen: Seen) => void,
  options: Partial<LoadOptions>,
): Promise<Report & { accepted: number }> {
  const server = await serve(onRequest);
  try {
    const load = startLoad({
      target: { port: server.port },
      proberMs: 0,
      maxRequests: 1,
      maxMs: 20_000,
      ...options,
    });
    const report = await load.done;
    return { ...report, accepted: server.connections() };
  } finally {
    await server.close();
  }
}

/** Asserts the classes, and that the account adds up; classes that are not named are zero. */
export function assertOutcomes(
  report: Report,
  wanted: { readonly [outcome in Outcome]?: number },
): void {
  const found = Object.entries(report.outcomes).filter(([, count]) => count > 0);
  assert.deepEqual(Object.fromEntries(found), wanted, JSON.stringify(report.lossKinds));
  assert.deepEqual(report.inconsistencies, []);
  assert.equal(report.inFlight, 0);
  assert.equal(report.lost, report.sent - report.answered);
}

/**
 * Client and server share an event loop here: after a poll the client has read what the server wrote before.
 * For resets that are to be seen as such on Node 22, whose libuv reports data and RST of one poll as data and FIN.
 */
export function afterPoll(task: () => void): void {
  new Turns().after({ onTurn: task });
}

/** Waits for a condition, at most 20 s. */
export async function until(condition: () => boolean): Promise<void> {
  let over = false;
  const limit = setTimeout(() => over = true, 20_000);
  while (!condition()) {
    assert.equal(over, false, "the condition did not come true");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  clearTimeout(limit);
}
