/**
 * Clients that ask one socket who serves it, request by request, each on a connection of its own or, over HTTP/2, on one
 * until it is told to go, and never retry.
 *
 * @module
 */

import { type ClientHttp2Session, connect } from "node:http2";
import net from "node:net";
import tls from "node:tls";
import type { Target } from "./chain.ts";

/** What a socket speaks. */
export type Speech = "http" | "https" | "tcp" | "tls" | Http2;

/** HTTP/2 without and with TLS. */
type Http2 = "h2c" | "h2";

/** What one socket answered, request by request. */
export interface Asked {
  /** Answers in order, repetitions left out. */
  readonly answers: string[];
  /** How many requests were answered. */
  count: number;
  /** Why requests were not answered. */
  readonly lost: string[];
}

const REQUEST = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/** One request on a connection of its own. @returns The body, or the answer to a line. */
export function askOnce(speech: Exclude<Speech, Http2>, target: Target): Promise<string> {
  return new Promise((resolve, reject) => {
    const secure = speech === "https" || speech === "tls";
    const socket = secure
      ? tls.connect({ ...target, rejectUnauthorized: false, servername: "localhost" })
      : net.connect(target);
    const timer = setTimeout(() => socket.destroy(new Error("no answer within 30 s")), 30_000);
    let text = "";
    const http = speech === "http" || speech === "https";
    socket.on(secure ? "secureConnect" : "connect", () => {
      socket.write(http ? REQUEST : "?\n");
    });
    socket.on("data", (chunk: Uint8Array) => text += new TextDecoder().decode(chunk));
    socket.on("error", reject);
    socket.on("close", () => {
      clearTimeout(timer);
      const whole = http
        ? /^HTTP\/1\.1 200 (?:OK)?\r\n[\s\S]*\r\n\r\n(?:\d+\r\n)?(\d+)/.exec(text)
        : /^(\d+)\n$/.exec(text);
      if (whole?.[1] === undefined) reject(new Error(`answered ${JSON.stringify(text)}`));
      else resolve(whole[1]);
    });
    socket.on("end", () => socket.end());
  });
}

/** A client of `node:http2` that connects anew after a GOAWAY. */
class Http2Client {
  readonly #target: Target;
  readonly #secure: boolean;
  #session: ClientHttp2Session | undefined;

  constructor(target: Target, secure: boolean) {
    this.#target = target;
    this.#secure = secure;
  }

  /** One stream. @returns The body. */
  ask(): Promise<string> {
    return new Promise((resolve, reject) => {
      const session = this.#session ??= this.#connect();
      const stream = session.request({ ":path": "/" });
      const timer = setTimeout(() => stream.destroy(new Error("no answer within 30 s")), 30_000);
      let text = "";
      stream.on("data", (chunk: Uint8Array) => text += new TextDecoder().decode(chunk));
      stream.on("error", reject);
      stream.on("close", () => {
        clearTimeout(timer);
        if (/^\d+$/.test(text) && stream.rstCode === 0) resolve(text);
        else reject(new Error(`reset with ${stream.rstCode} after ${JSON.stringify(text)}`));
      });
    });
  }

  close(): void {
    this.#session?.close();
  }

  #connect(): ClientHttp2Session {
    const options = { ...this.#target, rejectUnauthorized: false, servername: "localhost" };
    const session = connect(this.#secure ? "https://localhost" : "http://localhost", {
      createConnection: () =>
        this.#secure
          ? tls.connect({ ...options, ALPNProtocols: ["h2"] })
          : net.connect(this.#target),
    });
    const leave = () => {
      if (this.#session === session) this.#session = undefined;
    };
    session.on("goaway", leave);
    session.on("close", leave);
    // Its streams are told as well.
    session.on("error", leave);
    return session;
  }
}

/** Asks until it is told to stop. */
export class Asker {
  readonly asked: Asked = { answers: [], count: 0, lost: [] };
  readonly #done: Promise<void>;
  #stopped = false;

  constructor(speech: Speech, target: Target) {
    this.#done = this.#run(speech, target);
  }

  /** Ends after the request that is under way. */
  async stop(): Promise<Asked> {
    this.#stopped = true;
    await this.#done;
    return this.asked;
  }

  async #run(speech: Speech, target: Target): Promise<void> {
    const { asked } = this;
    const http2 = speech === "h2c" || speech === "h2"
      ? new Http2Client(target, speech === "h2")
      : undefined;
    const ask = () => http2?.ask() ?? askOnce(speech as Exclude<Speech, Http2>, target);
    while (!this.#stopped) {
      try {
        const answer = await ask();
        asked.count += 1;
        if (asked.answers.at(-1) !== answer) asked.answers.push(answer);
      } catch (error) {
        asked.lost.push((error as Error).message);
      }
    }
    http2?.close();
  }
}
