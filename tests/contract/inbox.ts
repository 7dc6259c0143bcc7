/**
 * What has arrived on a channel and was not read yet: lines and bytes, for one reader.
 *
 * @module
 */

import type { Channel } from "../../src/backend/backend.ts";

/** Receives what a channel brings. */
export class Inbox {
  /** How often the end was told. */
  ends = 0;
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array();
  #wake: () => void = () => {};

  constructor(channel: Channel) {
    channel.onData((bytes) => this.#push(bytes));
    channel.onEnd(() => {
      this.ends += 1;
      this.#wake();
    });
  }

  /** The next line; `undefined` when there is none before the end. */
  async line(): Promise<string | undefined> {
    for (;;) {
      const length = this.#bytes.indexOf(10);
      if (length >= 0) {
        const line = new TextDecoder().decode(this.#bytes.subarray(0, length));
        this.#bytes = this.#bytes.slice(length + 1);
        return line;
      }
      if (this.ends > 0) return undefined;
      await this.#more();
    }
  }

  /** Exactly so many bytes, or fewer at the end. */
  async take(length: number): Promise<Uint8Array> {
    while (this.#bytes.length < length && this.ends === 0) await this.#more();
    const taken = this.#bytes.slice(0, length);
    this.#bytes = this.#bytes.slice(length);
    return taken;
  }

  /** Everything up to the end. */
  rest(): Promise<Uint8Array> {
    return this.take(Infinity);
  }

  #more(): Promise<void> {
    return new Promise((resolve) => void (this.#wake = resolve));
  }

  #push(bytes: Uint8Array): void {
    const joined = new Uint8Array(this.#bytes.length + bytes.length);
    joined.set(this.#bytes);
    joined.set(bytes, this.#bytes.length);
    this.#bytes = joined;
    this.#wake();
  }
}
