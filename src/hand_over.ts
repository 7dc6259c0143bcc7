/**
 * Application state on its way from the old process to the new one: fresh, in pieces, at the pace of the receiver.
 *
 * The child asks for what it wants by name (`take`), the parent then calls the application and sends what it gives in
 * `chunk` frames, at most {@linkcode WINDOW_BYTES} ahead of what the child has consumed (`more`). So a hundred
 * megabytes need no more memory than one, and a name that nobody takes costs nothing.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { UpgradeError } from "./errors.ts";
import type { Failure } from "./machine.ts";
import type { ChunkFrame, EndFrame, Frame, MoreFrame, TakeFrame } from "./protocol.ts";

/** What a producer of state returns; text is sent as UTF-8. */
export type StateSource = Uint8Array | string | AsyncIterable<Uint8Array | string>;

/** Called for each successor that asks, after it has started and before it is ready. */
export type ProduceState = () => StateSource | Promise<StateSource>;

/** See `Upgrader.handOver`. */
export interface HandOverOptions {
  /** Called before the state is produced: the application stops changing it. */
  readonly freeze?: () => void | Promise<void>;
  /** Called when the upgrade has failed after `freeze`: the application goes on. */
  readonly thaw?: () => void | Promise<void>;
}

/** How far the parent may be ahead of the child. */
export const WINDOW_BYTES: number = 1024 * 1024;
// A third more as base64, and well below the longest frame.
const CHUNK_BYTES = 192 * 1024;
const MAX_NAMES = 1024;

/** Where a hand-over leads. */
export interface StateOutlet {
  send(frame: Frame): void;
  /** The upgrade cannot go on. */
  fail(failure: Failure): void;
  /** Something went wrong that changes nothing. */
  warn(message: string): void;
}

interface Offer extends HandOverOptions {
  readonly produce: ProduceState;
}

/** The name under which an application's state travels; the library has names of its own. @throws {TypeError} */
export function stateName(name: unknown): string {
  if (typeof name !== "string" || name === "" || name.length > 255) {
    throw new TypeError("Cannot use the name of state: expected a string of 1 to 255 characters");
  }
  return `app:${name}`;
}

/** A name as the application knows it. */
function shown(name: string): string {
  return name.replace(/^app:/, "");
}

/** What this process can hand over. */
export class Offers {
  readonly #offers = new Map<string, Offer>();

  /** Names, for `hello`. */
  get names(): string[] {
    return [...this.#offers.keys()];
  }

  /** Registers a producer. @throws {TypeError} @returns Withdraws it. */
  add(name: string, produce: ProduceState, options: HandOverOptions): () => void {
    const isFunction = (value: unknown) => value === undefined || typeof value === "function";
    if (typeof produce !== "function" || !isFunction(options.freeze) || !isFunction(options.thaw)) {
      throw new TypeError(`Cannot hand over "${shown(name)}": expected functions`);
    }
    if (this.#offers.has(name)) {
      throw new TypeError(`Cannot hand over "${shown(name)}": the name is taken in this process`);
    }
    if (this.#offers.size >= MAX_NAMES) {
      throw new RangeError(
        `Cannot hand over "${shown(name)}": there are ${MAX_NAMES} names already`,
      );
    }
    const offer = { ...options, produce };
    this.#offers.set(name, offer);
    return () => {
      if (this.#offers.get(name) === offer) this.#offers.delete(name);
    };
  }

  /** One attempt to hand over. */
  begin(outlet: StateOutlet): HandingOver {
    return new HandingOver(new Map(this.#offers), outlet);
  }
}

/** The parent's side of one attempt. */
export class HandingOver {
  readonly #offers: Map<string, Offer>;
  readonly #outlet: StateOutlet;
  readonly #frozen: Offer[] = [];
  /** What each state that is being sent may still send, and who waits for more. */
  readonly #credits = new Map<string, { bytes: number; wake: () => void }>();
  #over = false;
  #bytes = 0;

  /** @param offers By name; what the child takes is removed. */
  constructor(offers: Map<string, Offer>, outlet: StateOutlet) {
    this.#offers = offers;
    this.#outlet = outlet;
  }

  /** How many bytes of state were sent. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The child wants a state, or more of it. */
  heard(frame: TakeFrame | MoreFrame): void {
    if (this.#over) return;
    const { name } = frame;
    if (frame.type === "more") {
      const credit = this.#credits.get(name);
      if (credit === undefined) return;
      credit.bytes += frame.bytes;
      credit.wake();
      return;
    }
    const offer = this.#offers.get(name);
    this.#offers.delete(name);
    if (offer === undefined) {
      this.#outlet.fail({
        code: "ERR_PROTOCOL",
        message: `Cannot hand over "${shown(name)}": it was not offered, or was taken already`,
      });
      return;
    }
    this.#run(name, offer).catch((error) => {
      if (this.#over) return;
      const message = `Cannot hand over "${shown(name)}": ${messageOf(error)}`;
      this.#outlet.fail({ code: "ERR_ABORTED", message });
    });
  }

  /** Nothing is sent any more; what was frozen is thawed unless the child has taken over. */
  end(succeeded: boolean): void {
    this.#over = true;
    for (const { wake } of this.#credits.values()) wake();
    this.#credits.clear();
    const frozen = this.#frozen.splice(0);
    if (succeeded) return;
    for (const { thaw } of frozen) {
      Promise.resolve().then(() => thaw?.()).catch((error) =>
        this.#outlet.warn(`Cannot thaw: ${messageOf(error)}`)
      );
    }
  }

  async #run(name: string, offer: Offer): Promise<void> {
    const credit = { bytes: WINDOW_BYTES, wake: () => {} };
    this.#credits.set(name, credit);
    this.#frozen.push(offer);
    await offer.freeze?.();
    for await (const piece of pieces(await offer.produce())) {
      for (let at = 0; at < piece.length; at += CHUNK_BYTES) {
        while (credit.bytes <= 0 && !this.#over) {
          await new Promise<void>((resolve) => credit.wake = resolve);
        }
        if (this.#over) return;
        const part = piece.subarray(at, at + CHUNK_BYTES);
        credit.bytes -= part.length;
        this.#bytes += part.length;
        this.#outlet.send({ type: "chunk", name, data: base64(part) });
      }
      if (this.#over) return;
    }
    this.#credits.delete(name);
    this.#outlet.send({ type: "end", name });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

async function* pieces(source: StateSource): AsyncIterable<Uint8Array> {
  if (typeof source === "string" || source instanceof Uint8Array) yield piece(source);
  else if (typeof source?.[Symbol.asyncIterator] === "function") {
    for await (const part of source) yield piece(part);
  } else throw new TypeError("expected bytes, a string or an async iterable of them");
}

function piece(part: Uint8Array | string): Uint8Array {
  if (typeof part === "string") return new TextEncoder().encode(part);
  if (part instanceof Uint8Array) return part;
  throw new TypeError("expected bytes or strings as the parts of the state");
}

/** State from the parent: a stream of bytes, or the whole of it. */
export class ReceivedState extends ReadableStream<Uint8Array> {
  /** The whole state. */
  async bytes(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    const reader = this.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
    }
    const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  /** The whole state as UTF-8 text. */
  async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes());
  }

  /** The whole state as JSON. */
  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }
}

/** One state on its way in. */
class Incoming {
  readonly stream: ReceivedState;
  readonly #waiting: Uint8Array[] = [];
  #ended: { readonly error?: Error } | undefined;
  #cancelled = false;
  #wake: () => void = () => {};

  constructor(consumed: (bytes: number) => void) {
    this.stream = new ReceivedState({
      pull: async (controller) => {
        while (this.#waiting.length === 0 && this.#ended === undefined) {
          await new Promise<void>((resolve) => this.#wake = resolve);
        }
        const next = this.#waiting.shift();
        if (next !== undefined) {
          controller.enqueue(next);
          consumed(next.length);
        } else if (this.#ended?.error !== undefined) controller.error(this.#ended.error);
        else controller.close();
      },
      cancel: () => {
        this.#cancelled = true;
        this.#waiting.length = 0;
      },
    }, { highWaterMark: 0 });
  }

  push(bytes: Uint8Array): void {
    if (this.#cancelled || this.#ended !== undefined) return;
    this.#waiting.push(bytes);
    this.#wake();
  }

  end(error?: Error): void {
    this.#ended ??= error === undefined ? {} : { error };
    this.#wake();
  }
}

/** The child's side. */
export class Receiving {
  readonly #offered: Set<string>;
  readonly #send: (frame: Frame) => void;
  readonly #incoming = new Map<string, Incoming>();
  #over: Error | undefined;

  /** @param offered Names that the parent has. */
  constructor(offered: readonly string[], send: (frame: Frame) => void) {
    this.#offered = new Set(offered);
    this.#send = send;
  }

  /** Asks for a state. @returns `undefined` when the parent has none of that name, or it was taken already. */
  take(name: string): ReceivedState | undefined {
    if (!this.#offered.delete(name)) return undefined;
    const incoming = new Incoming((bytes) => {
      if (this.#incoming.has(name)) this.#send({ type: "more", name, bytes });
    });
    if (this.#over !== undefined) incoming.end(this.#over);
    else {
      this.#incoming.set(name, incoming);
      this.#send({ type: "take", name });
    }
    return incoming.stream;
  }

  /** The parent sends some. */
  heard(frame: ChunkFrame | EndFrame): void {
    const incoming = this.#incoming.get(frame.name);
    if (frame.type === "chunk") incoming?.push(new Uint8Array(Buffer.from(frame.data, "base64")));
    else {
      this.#incoming.delete(frame.name);
      incoming?.end();
    }
  }

  /** No more will come: what is not complete fails with this. */
  end(why: string): void {
    this.#over ??= new UpgradeError("ERR_ABORTED", `Cannot receive the whole state: ${why}`);
    for (const incoming of this.#incoming.values()) incoming.end(this.#over);
    this.#incoming.clear();
  }
}
