/**
 * Ten thousand connections that have asked once and are idle: what becomes of them? And how slowly is a newcomer served
 * meanwhile? `node idle.ts PORT COUNT`; says `{"open": n}` when all are, and the account when all have ended or a line
 * comes on standard input.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import process from "node:process";
import { clearInterval, setInterval } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";

/** The account. */
export interface IdleReport {
  readonly open: number;
  /** FIN, and nothing else. */
  readonly ended: number;
  /** RST. */
  readonly reset: number;
  readonly left: number;
  /** Newcomers: one connection and request every 10 ms since the connections were open. */
  readonly probes: number;
  readonly probesLost: number;
  readonly slowestMs: number;
}

const [port, count] = process.argv.slice(2).map(Number) as [number, number];
const REQUEST = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const LAST = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
const AT_A_TIME = 200;
const PROBE_MS = 10;

let [ended, reset, probes, probesLost, slowestMs] = [0, 0, 0, 0, 0];
const sockets = new Set<Socket>();
let probing: ReturnType<typeof setInterval> | undefined;

function open(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => socket.write(REQUEST));
    socket.once("data", () => {
      sockets.add(socket);
      socket.off("error", reject);
      socket.on("error", () => reset++);
      socket.on("data", () => {});
      resolve();
    });
    socket.once("error", reject);
    socket.once("end", () => {
      ended++;
      socket.end();
    });
    socket.once("close", () => {
      sockets.delete(socket);
      if (sockets.size === 0 && probing !== undefined) finish();
    });
  });
}

function probe(): void {
  const begun = performance.now();
  const socket = connect({ port, host: "127.0.0.1" }, () => socket.write(LAST));
  let bytes = Buffer.alloc(0);
  socket.on("data", (more: Buffer) => bytes = Buffer.concat([bytes, more]));
  socket.on("error", () => {});
  socket.once("end", () => socket.end());
  socket.once("close", () => {
    probes++;
    slowestMs = Math.max(slowestMs, performance.now() - begun);
    if (!bytes.toString("latin1").endsWith("\r\n\r\nok")) probesLost++;
  });
}

function finish(): void {
  clearInterval(probing);
  probing = undefined;
  setTimeout(() => {
    const report: IdleReport = {
      open: count,
      ended,
      reset,
      left: sockets.size,
      probes,
      probesLost,
      slowestMs,
    };
    process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit());
  }, 300);
}

for (let opened = 0; opened < count; opened += AT_A_TIME) {
  await Promise.all(Array.from({ length: Math.min(AT_A_TIME, count - opened) }, open));
}
await sleep(100);
probing = setInterval(probe, PROBE_MS);
process.stdout.write(`${JSON.stringify({ open: sockets.size })}\n`);
process.stdin.once("data", finish).once("end", () => process.exit());
