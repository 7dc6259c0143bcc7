/**
 * Throws HTTP garbage at a control socket over real connections, and judges every answer.
 *
 * @module
 */

import net from "node:net";
import { Random } from "./random.ts";

/** What a run has seen. */
export interface FuzzTally {
  readonly connections: number;
  /** How many answers of each status. */
  readonly statuses: Readonly<Record<string, number>>;
  /** How many connections ended without an answer. */
  readonly silent: number;
  /** What should not be: each with the bytes that led to it. */
  readonly wrong: readonly string[];
}

const GOOD: readonly (readonly [string, RegExp])[] = [
  ["GET /status HTTP/1.1\r\nHost: x\r\n\r\n", /^HTTP\/1\.1 200 OK\r\n/],
  [
    "HEAD /status HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8.9.1\r\nAccept: */*\r\n\r\n",
    /^HTTP\/1\.1 200 OK\r\n/,
  ],
  ["GET /metrics?x=1 HTTP/1.0\r\n\r\n", /^HTTP\/1\.1 200 OK\r\n/],
  [
    "POST /stop HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{}\n",
    /^HTTP\/1\.1 202 Accepted\r\n/,
  ],
  ["POST /upgrade HTTP/1.1\r\nHost: x\r\n\r\n", /^HTTP\/1\.1 (?:200|409|502) /],
  ["GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", /^HTTP\/1\.1 404 Not Found\r\n/],
  ["PUT /status HTTP/1.1\r\nHost: x\r\n\r\n", /^HTTP\/1\.1 405 Method Not Allowed\r\n/],
];
const PIECES: readonly string[] = [
  "\r\n",
  "\n",
  "\r",
  "\0",
  " ",
  ":",
  "GET ",
  "/events HTTP/1.1",
  "HTTP/1.1\r\nHost: x\r\n",
  "Content-Length: 99999999999999999999\r\n",
  "Content-Length: 10\r\nContent-Length: 11\r\n",
  "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  "Upgrade: websocket\r\nConnection: Upgrade\r\n",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
  "../../../etc/passwd",
  "%00%0d%0a",
  "\xff\xfe\xfd",
  "\r\n folded\r\n",
  "a".repeat(5_000),
  "A: b\r\n".repeat(3_000),
];

const HEADERS: readonly string[] = [
  "Transfer-Encoding: chunked",
  "Expect: 100-continue",
  "Content-Length: 65537",
  "Content-Length: 5, 5",
  "Host: y",
  "Upgrade: h2c",
  "X: \x80\xff",
  "X : y",
  " folded",
  "X: \x0b",
  `X: ${"y".repeat(17_000)}`,
];

/** What a client does. */
interface Visit {
  readonly text: string;
  /** What the answer must be, if the request was not touched. */
  readonly expect: RegExp | undefined;
  /** How many writes it is cut into. */
  readonly cuts: number;
  /** How the client leaves. */
  readonly leaves: "after the answer" | "by ending its side" | "at once";
}

function mutate(text: string, random: Random): string {
  for (let times = 1 + random.below(4); times > 0; times--) {
    const at = random.below(text.length + 1);
    const rest = random.chance(0.5) ? at : at + random.below(8);
    const put = random.chance(0.5)
      ? random.pick(PIECES)
      : String.fromCharCode(random.below(256)).repeat(random.below(3));
    text = text.slice(0, at) + put + text.slice(rest);
  }
  return text;
}

function plan(random: Random): Visit {
  const [good, expect] = random.pick(GOOD);
  const cuts = 1 + random.below(4);
  const dice = random.next();
  if (dice < 0.25) return { text: good, expect, cuts, leaves: "after the answer" };
  if (dice < 0.35) return { text: good, expect, cuts, leaves: "by ending its side" };
  if (dice < 0.45) {
    const [line, rest] = [good.slice(0, good.indexOf("\r\n")), good.slice(good.indexOf("\r\n"))];
    const text = `${line}\r\n${random.pick(HEADERS)}${rest}`;
    return { text, expect: undefined, cuts, leaves: "after the answer" };
  }
  const leaves = random.pick(["by ending its side", "by ending its side", "at once"] as const);
  if (dice < 0.7) return { text: mutate(good, random), expect: undefined, cuts, leaves };
  if (dice < 0.9) {
    let text = "";
    for (let count = random.below(12); count > 0; count--) text += random.pick(PIECES);
    return { text, expect: undefined, cuts, leaves };
  }
  const length = random.below(random.chance(0.1) ? 200_000 : 300);
  let text = "";
  for (let at = 0; at < length; at++) text += String.fromCharCode(random.below(256));
  return { text, expect: undefined, cuts, leaves };
}

/** Plays one client. @returns What came back. */
function visit(path: string, { text, cuts, leaves }: Visit): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect({ path, allowHalfOpen: true });
    socket.setEncoding("latin1");
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk;
      // The stream of events ends when the client does.
      if (answer.includes("text/event-stream")) socket.destroy();
    });
    socket.on("end", () => socket.end());
    // The server may have left before all of it was written.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => resolve(answer));
    socket.on("connect", () => {
      const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
      const size = Math.max(1, Math.ceil(bytes.length / cuts));
      let at = 0;
      const next = () => {
        if (socket.destroyed) return;
        if (at < bytes.length) {
          socket.write(bytes.subarray(at, at + size));
          at += size;
          setTimeout(next, 0);
        } else if (leaves === "by ending its side") socket.end();
        else if (leaves === "at once") socket.destroy();
      };
      next();
    });
  });
}

const ANSWER =
  /^HTTP\/1\.1 (\d{3}) [A-Za-z ]+\r\nContent-Type: ([\x20-\x7e]+)\r\n(?:Content-Length: (\d+)\r\n)?(?:Allow: [A-Z, ]+\r\n)?Cache-Control: no-store\r\nConnection: close\r\n\r\n/;

/** What is wrong with an answer; `undefined` for nothing. */
function judge({ text, expect, leaves }: Visit, answer: string): string | undefined {
  if (answer === "") return expect === undefined ? undefined : "a good request was not answered";
  const head = ANSWER.exec(answer);
  if (head === null) return leaves === "at once" ? undefined : "the answer has no head";
  const [whole, status = "", type = "", length] = head;
  if (expect !== undefined && !expect.test(answer)) return `the answer is ${status}`;
  if (status.startsWith("5") && !["502", "505"].includes(status)) return `the answer is ${status}`;
  const body = answer.slice(whole.length);
  if (type === "text/event-stream" || leaves === "at once") return undefined;
  if (body === "" && text.includes("HEAD ")) return undefined;
  if (new TextEncoder().encode(body).length < Number(length)) return "the body is cut off";
  if (type !== "application/json") return undefined;
  try {
    JSON.parse(body);
    return undefined;
  } catch {
    return "the body is no JSON";
  }
}

/**
 * Sends so many clients, some at the same time.
 *
 * @param path The control socket.
 * @param seed The same seed sends the same clients.
 * @param connections How many.
 */
export async function fuzzControl(
  path: string,
  seed: number,
  connections: number,
  atOnce = 32,
): Promise<FuzzTally> {
  const random = new Random(seed);
  const statuses: Record<string, number> = {};
  const wrong: string[] = [];
  let silent = 0;
  let begun = 0;
  const client = async () => {
    while (begun < connections) {
      begun += 1;
      const planned = plan(random);
      const answer = await visit(path, planned);
      const problem = judge(planned, answer);
      if (problem !== undefined) {
        wrong.push(
          `${problem}: ${JSON.stringify(planned.text.slice(0, 300))} -> ${
            JSON.stringify(answer.slice(0, 300))
          }`,
        );
      }
      const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1];
      if (status === undefined) silent += 1;
      else statuses[status] = (statuses[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, client));
  return { connections: begun, statuses, silent, wrong };
}
