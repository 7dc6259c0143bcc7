/**
 * One raw client connection: writes requests, reads responses, and says how it ended. It never retries anything.
 *
 * @module
 */

import net from "node:net";
import { describeEnding, type Ending } from "./outcome.ts";
import {
  type Expectation,
  MalformedResponse,
  type Response,
  ResponseParser,
} from "./response_parser.ts";

/** Where the server listens. */
export type Target =
  | { readonly port: number; readonly hostname?: string }
  | { readonly path: string };

/** What went over the wires, counted where it happens, so that the tally can be checked against it. */
export interface WireCounters {
  /** Connections that were asked for. */
  dialled: number;
  /** Connections that were established. */
  opened: number;
  /** Requests of which at least one byte was handed to the kernel. */
  requests: number;
  /** Whole responses that were parsed. */
  responses: number;
  /** Requests that the client wrote although it knew that the connection had ended: always 0, or a bug of ours. */
  sentAfterClose: number;
  /** How connections ended, by description. */
  readonly endings: Map<string, number>;
}

/** A request that is under way on a connection. */
export interface Pending extends Expectation {
  /** Whether at least one byte of it was written. */
  written: boolean;
}

/** Who hears about a connection. None of these may throw: Deno prints and swallows exceptions of socket callbacks. */
export interface ConnectionListener<P extends Pending> {
  onOpen(): void;
  /** The oldest request was answered whole. */
  onResponse(pending: P, response: Response): void;
  /**
   * The connection has ended, other than by a response that announced it, or requests were left behind by
   * such a response.
   *
   * @param unanswered The requests under way, oldest first.
   * @param partial Whether a part of the oldest one's response had arrived.
   */
  onEnd(ending: Ending, unanswered: readonly P[], partial: boolean): void;
}

/** Settings of a {@linkcode Connection}. */
export interface ConnectionOptions {
  readonly target: Target;
  readonly wire: WireCounters;
  /** A slow reader's pause after each piece that it reads, in ms; 0 is none. */
  readonly readPauseMs: number;
  /** Calls `task` after `ms`; returns what calls it off. */
  readonly later: (ms: number, task: () => void) => () => void;
}

/** One connection, from dialling to its end. */
export class Connection<P extends Pending> {
  readonly #socket: net.Socket;
  readonly #options: ConnectionOptions;
  readonly #listener: ConnectionListener<P>;
  readonly #parser = new ResponseParser();
  readonly #pending: P[];
  #open = false;
  #ending: Ending | undefined;
  #resumeOff: (() => void) | undefined;

  /** @param first The requests for which it is opened: they share its fate from the beginning. */
  constructor(
    options: ConnectionOptions,
    listener: ConnectionListener<P>,
    first: readonly P[],
  ) {
    this.#options = options;
    this.#listener = listener;
    this.#pending = [...first];
    options.wire.dialled++;
    const { target } = options;
    this.#socket = "path" in target
      ? net.connect({ path: target.path })
      : net.connect({ port: target.port, host: target.hostname ?? "127.0.0.1", noDelay: true });
    this.#socket.on("connect", () => {
      if (this.#ending !== undefined) return;
      this.#open = true;
      options.wire.opened++;
      listener.onOpen();
    });
    this.#socket.on("data", (chunk: Uint8Array) => this.#onData(chunk));
    this.#socket.on("end", () => this.#onEof());
    this.#socket.on("error", (error: Error) => this.#onError(error));
    // After `end` or `error` it brings nothing new; alone it is how Bun reports some resets.
    this.#socket.on("close", () => this.#onError({ code: "CLOSED" }));
  }

  /** How it ended; `undefined` while requests may be written. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** How many requests are under way. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Adds requests that are about to be written on an open connection. */
  expect(requests: readonly P[]): void {
    this.#pending.push(...requests);
  }

  /** Writes bytes that belong to `requests`, all of which are pending. */
  write(bytes: Uint8Array, requests: readonly P[]): void {
    const { wire } = this.#options;
    for (const request of requests) {
      if (request.written) continue;
      request.written = true;
      wire.requests++;
      if (this.#ending !== undefined) wire.sentAfterClose++;
    }
    this.#socket.write(bytes);
  }

  /** Closes it for a reason of the client's; `onEnd` is called when requests are under way. */
  close(ending: Ending = { kind: "own" }): void {
    this.#finish(ending);
  }

  #onData(chunk: Uint8Array): void {
    if (this.#ending !== undefined) return;
    let at = 0;
    while (at < chunk.length && this.#ending === undefined) {
      const pending = this.#pending[0];
      if (pending === undefined) return this.#finish({ kind: "unsolicited" });
      try {
        at = this.#parser.read(chunk, at, pending);
      } catch (error) {
        if (!(error instanceof MalformedResponse)) throw error;
        return this.#finish({ kind: "malformed", message: error.message });
      }
      if (this.#parser.complete) this.#answer();
    }
    if (this.#options.readPauseMs > 0 && this.#pending.length > 0) this.#rest();
  }

  #answer(): void {
    const pending = this.#pending.shift()!;
    const response = this.#parser.take();
    this.#options.wire.responses++;
    // First the verdict on the connection, so that the listener finds it closed.
    const unanswered = this.#pending.splice(response.keepAlive ? this.#pending.length : 0);
    if (!response.keepAlive) this.#finish({ kind: "announced" });
    this.#listener.onResponse(pending, response);
    if (unanswered.length > 0) this.#listener.onEnd({ kind: "behind-close" }, unanswered, false);
  }

  #onEof(): void {
    if (this.#ending !== undefined) return;
    if (this.#pending.length > 0 && this.#parser.end()) this.#answer();
    else this.#finish({ kind: "eof" });
  }

  #onError(error: unknown): void {
    const code = codeOf(error);
    this.#finish(this.#open ? { kind: "reset", code } : { kind: "connect-failed", code });
  }

  #finish(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    const { endings } = this.#options.wire;
    const text = describeEnding(ending);
    endings.set(text, (endings.get(text) ?? 0) + 1);
    this.#resumeOff?.();
    const partial = this.#parser.partial;
    this.#socket.destroy();
    const unanswered = this.#pending.splice(0);
    if (ending.kind !== "announced") this.#listener.onEnd(ending, unanswered, partial);
  }

  #rest(): void {
    this.#socket.pause();
    this.#resumeOff = this.#options.later(this.#options.readPauseMs, () => {
      if (this.#ending === undefined) this.#socket.resume();
    });
  }
}

function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "UNKNOWN";
  return String(error.code);
}
