/**
 * The channel between two processes of a test, in memory.
 *
 * It behaves as the socket pair does: bytes arrive in order and in a later tick, a close arrives after them, and
 * whoever learns that the other side is gone lets go of its own end.
 *
 * @module
 */

import type { Channel } from "../backend/backend.ts";

/** One end. */
export class FakeChannel implements Channel {
  /** Whether the open channel would keep its process alive. */
  keepsAlive = true;
  /** Whether this end still holds its descriptor. */
  isOpen = true;
  #peer: FakeChannel = this;
  #inbox: (Uint8Array | "end")[] = [];
  #pumping = false;
  #receive: ((bytes: Uint8Array) => void) | undefined;
  #ended: (() => void) | undefined;
  #isEnded = false;
  #told = false;
  #closed: () => void = () => {};
  #sent: (bytes: Uint8Array) => void = () => {};

  /** Makes a pair. */
  static pair(): [FakeChannel, FakeChannel] {
    const one = new FakeChannel();
    const other = new FakeChannel();
    one.#peer = other;
    other.#peer = one;
    return [one, other];
  }

  /** Calls back when this end gives up its descriptor. */
  onClosed(receiver: () => void): void {
    this.#closed = receiver;
  }

  /** Calls back with what is written into this end. */
  onSent(receiver: (bytes: Uint8Array) => void): void {
    this.#sent = receiver;
  }

  write(bytes: Uint8Array): void {
    if (!this.isOpen) return;
    const copy = bytes.slice();
    this.#sent(copy);
    this.#peer.#deliver(copy);
  }

  writeSync(bytes: Uint8Array): void {
    this.write(bytes);
  }

  onData(receiver: (bytes: Uint8Array) => void): void {
    this.#receive = receiver;
    this.#pump();
  }

  onEnd(receiver: () => void): void {
    this.#ended = receiver;
    this.#tellEnd();
  }

  keepAlive(on: boolean): void {
    this.keepsAlive = on;
  }

  close(): void {
    this.#letGo();
    this.#isEnded = true;
    this.#tellEnd();
  }

  /** Lets go without a callback, as the kernel does for a process that died. */
  drop(): void {
    if (!this.isOpen) return;
    this.#receive = undefined;
    this.#ended = undefined;
    this.#inbox = [];
    this.#letGo();
  }

  #letGo(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#closed();
    this.#peer.#deliver("end");
  }

  #deliver(item: Uint8Array | "end"): void {
    if (!this.isOpen) return;
    this.#inbox.push(item);
    this.#pump();
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      while (this.isOpen && this.#receive !== undefined && this.#inbox.length > 0) {
        const item = this.#inbox.shift() as Uint8Array | "end";
        if (item === "end") this.close();
        else this.#receive(item);
      }
    });
  }

  #tellEnd(): void {
    if (!this.#isEnded || this.#told || this.#ended === undefined) return;
    this.#told = true;
    queueMicrotask(() => this.#ended?.());
  }
}
