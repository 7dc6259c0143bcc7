/**
 * Clients that ask one socket after the other who serves it, each request on a connection of its own, and never retry.
 *
 * @module
 */

import net from "node:net";
import tls from "node:tls";
import type { Target } from "./chain.ts";

/** What a socket speaks. */
export type Speech = "http" | "https" | "tcp" | "tls";

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
export function askOnce(speech: Speech, target: Target): Promise<string> {
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
    while (!this.#stopped) {
      try {
        const answer = await askOnce(speech, target);
        asked.count += 1;
        if (asked.answers.at(-1) !== answer) asked.answers.push(answer);
      } catch (error) {
        asked.lost.push((error as Error).message);
      }
    }
  }
}
