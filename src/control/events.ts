/**
 * Streams of events (server-sent events): who listens, and what they are told.
 *
 * @module
 */

import type { Clock, Disposer } from "../backend/backend.ts";
import { head } from "./answer.ts";
import type { Visitor } from "./visitor.ts";

// A comment that finds out whether the client is still there.
const HEARTBEAT_MS = 15_000;
/** How many may listen: the rest of the places is for those who ask. */
export const MAX_STREAMS = 128;

/** Writes one event; JSON has no line breaks of its own. */
export function eventText(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** Everybody who listens. */
export class EventStreams {
  readonly #clock: Clock;
  readonly #visitors = new Set<Visitor>();
  #cancel: Disposer = () => {};
  #isOver = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether one more may listen. */
  get isFull(): boolean {
    return this.#visitors.size >= MAX_STREAMS;
  }

  /** Lets a client listen; it is told how things are, at once. */
  add(visitor: Visitor, status: unknown): void {
    visitor.stream(head({ status: 200, type: "text/event-stream" }, undefined));
    visitor.write(eventText("status", status));
    if (this.#isOver) return visitor.finish();
    if (this.#visitors.size === 0) this.#beat();
    this.#visitors.add(visitor);
  }

  /** Tells everybody. */
  tell(event: string, data: unknown): void {
    if (this.#visitors.size === 0) return;
    this.#write(eventText(event, data));
  }

  /** A client is gone. */
  delete(visitor: Visitor): void {
    this.#visitors.delete(visitor);
    if (this.#visitors.size === 0) this.#cancel();
  }

  /** Ends all streams; what is told afterwards is told by the next owner. */
  end(): void {
    this.#isOver = true;
    this.#cancel();
    for (const visitor of this.#visitors) visitor.finish();
    this.#visitors.clear();
  }

  #beat(): void {
    this.#cancel = this.#clock.after(HEARTBEAT_MS, () => {
      this.#write(":\n\n");
      this.#beat();
    });
  }

  #write(text: string): void {
    for (const visitor of this.#visitors) visitor.write(text);
  }
}
