/**
 * A client for throughput: over TCP or TLS, one request after the other on each connection; a response is complete when
 * as many bytes have come as the first one had. `node saturate.ts`, then one JSON line per order on standard input.
 *
 * @module
 */

import { connect as connectTcp, type Socket } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";

/** What to do. */
export interface SaturateOrder {
  readonly port: number;
  readonly tls: boolean;
  readonly connections: number;
  readonly ms: number;
}

/** What came of it. */
export interface SaturateResult {
  readonly requests: number;
  readonly ms: number;
  readonly error?: string;
}

const REQUEST = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

createInterface({ input: process.stdin }).on("line", (line) => {
  saturate(JSON.parse(line) as SaturateOrder).then(
    (result) => process.stdout.write(`${JSON.stringify(result)}\n`),
  );
}).on("close", () => process.exit());

async function saturate({ port, tls, connections, ms }: SaturateOrder): Promise<SaturateResult> {
  const host = "127.0.0.1";
  const open = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = tls
        ? connectTls({ port, host, rejectUnauthorized: false }, () => resolve(socket))
        : connectTcp({ port, host }, () => resolve(socket));
      socket.setNoDelay(true);
      socket.once("error", reject);
    });
  let sockets: Socket[] = [];
  try {
    sockets = await Promise.all(Array.from({ length: connections }, open));
    const length = await firstLength(sockets[0]!);
    let requests = 0;
    let error: string | undefined;
    let measuring = true;
    const begun = performance.now();
    for (const socket of sockets) {
      let missing = length;
      socket.on("error", ({ message }) => error ??= message);
      socket.on("end", () => error ??= measuring ? "the server ended a connection" : undefined);
      socket.on("data", (bytes: Uint8Array) => {
        missing -= bytes.length;
        if (missing > 0) return;
        missing = length;
        requests++;
        if (measuring) socket.write(REQUEST);
      });
      socket.write(REQUEST);
    }
    await sleep(ms);
    measuring = false;
    const took = performance.now() - begun;
    return { requests, ms: took, ...(error === undefined ? {} : { error }) };
  } catch (error) {
    return { requests: 0, ms: 0, error: String(error) };
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

const FIRST_LIMIT_MS = 15_000;
const QUIET_MS = 30;

/** How long a response is: as much as comes before it is quiet. */
async function firstLength(socket: Socket): Promise<number> {
  let length = 0;
  let lastMs = performance.now();
  const onData = (bytes: Uint8Array) => {
    length += bytes.length;
    lastMs = performance.now();
  };
  socket.on("data", onData);
  socket.write(REQUEST);
  const begun = performance.now();
  while (length === 0 || performance.now() - lastMs < QUIET_MS) {
    if (performance.now() - begun > FIRST_LIMIT_MS) break;
    await sleep(5);
  }
  socket.off("data", onData);
  if (length === 0) throw new Error("Cannot measure: the server does not answer");
  return length;
}
