/**
 * Decodes server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), as they arrive.
 *
 * @module
 */

// An event carries a status or a report; a line without end would fill the memory.
const LONGEST_EVENT = 4 * 1024 * 1024;

/** One event. */
export interface ServerEvent {
  /** Its name. */
  readonly event: string;
  /** Its text. */
  readonly data: string;
}

/** Bytes go in, events come out. */
export class EventStreamDecoder {
  readonly #text: TextDecoder = new TextDecoder();
  #pending = "";
  #event = "";
  #data: string[] = [];
  #size = 0;

  /**
   * Takes bytes.
   *
   * @returns The events that they complete.
   * @throws {RangeError} When an event is longer than four mebibytes.
   */
  push(bytes: Uint8Array): readonly ServerEvent[] {
    const lines = (this.#pending + this.#text.decode(bytes, { stream: true })).split("\n");
    this.#pending = lines.pop() ?? "";
    const events: ServerEvent[] = [];
    for (const line of lines) this.#line(line.replace(/\r$/, ""), events);
    if (this.#size + this.#pending.length > LONGEST_EVENT) {
      throw new RangeError("an event has no end");
    }
    return events;
  }

  #line(line: string, events: ServerEvent[]): void {
    if (line === "") {
      if (this.#data.length > 0) {
        events.push({ event: this.#event || "message", data: this.#data.join("\n") });
      }
      this.#event = "";
      this.#data = [];
      this.#size = 0;
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event = value;
    if (field === "data") {
      this.#data.push(value);
      this.#size += value.length;
    }
  }
}
