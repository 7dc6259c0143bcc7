/**
 * A connection on which a test writes and reads byte for byte.
 *
 * @module
 */

import net from "node:net";
import tls from "node:tls";
import type { Target } from "./chain.ts";

/** What a test writes, and what came back. */
export class Wire {
  /** All that has arrived. */
  text = "";
  /** Resolves with all that has arrived, when the server has closed the connection. */
  readonly closed: Promise<string>;
  readonly #socket: net.Socket;
  readonly #wakes = new Set<() => void>();
  #over = false;

  /** Connects. */
  constructor(target: Target, secure = false) {
    this.#socket = secure
      ? tls.connect({ ...target, rejectUnauthorized: false, servername: "localhost" })
      : net.connect(target);
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (chunk) => {
      this.text += chunk;
      this.#wake();
    });
    this.#socket.on("error", () => {});
    this.#socket.on("end", () => this.#socket.end());
    this.closed = new Promise((resolve) =>
      this.#socket.on("close", () => {
        this.#over = true;
        this.#wake();
        resolve(this.text);
      })
    );
  }

  /** Sends. */
  write(text: string | Uint8Array): this {
    this.#socket.write(text);
    return this;
  }

  /** One request without a body. */
  ask(path: string, more = ""): this {
    return this.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`);
  }

  /** Waits until what has arrived matches; then forgets it. @throws {Error} when the connection ends before. */
  async expect(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.text)) {
      if (this.#over) throw new Error(`closed after ${JSON.stringify(this.text.slice(0, 500))}`);
      await new Promise<void>((resolve) => this.#wakes.add(resolve));
    }
    const { text } = this;
    this.text = "";
    return text;
  }

  /** Ends it from this side. */
  destroy(): void {
    this.#socket.destroy();
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
    this.#wakes.clear();
  }
}
