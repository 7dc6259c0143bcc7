/**
 * One raw client connection: writes requests, reads responses, and says how it ended. It never retries anything.
 *
 * @module
 */

import net from "node:net";
import process from "node:process";
import tls from "node:tls";
import { describeEnding, type Ending } from "./outcome.ts";
import { MalformedResponse, ResponseParser } from "./response_parser.ts";
import type { ConnectionListener, ConnectionOptions, Pending, Target } from "./wire.ts";

/**
 * libuv before 1.52 (Node 22) reports a reset as FIN when it arrives in the same poll as the data before it
 * (libuv/libuv#4997). Where the body's length is known this changes only the name of the loss. Where a body lasts
 * until the connection's end, a cut would pass for an answer: so there it counts as lost, whatever it was.
 */
const RESET_MAY_LOOK_LIKE_EOF: boolean = isOldLibuv(process.versions);

/** For the server's FIN behind its close frame. */
const FAREWELL_MS = 5000;

/** One connection, from dialling to its end. */
export class Connection<P extends Pending> {
  readonly #socket: net.Socket;
  readonly #options: ConnectionOptions;
  readonly #listener: ConnectionListener<P>;
  readonly #parser = new ResponseParser();
  readonly #pending: P[];
  #open = false;
  #isUpgraded = false;
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
    this.#socket = dial(target);
    // With TLS it is open when requests can be written: a server that resets before has not seen one.
    this.#socket.on(this.#socket instanceof tls.TLSSocket ? "secureConnect" : "connect", () => {
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

  /** How many of them were written, at least in part. */
  get pendingWritten(): number {
    return this.#pending.filter(({ written }) => written).length;
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

  /** The oldest request was answered by what came after status 101. */
  answered(): void {
    this.#pending.shift();
    this.#options.wire.responses++;
  }

  /** The client has read enough of the oldest request's response, if its head has come: that counts as the whole. */
  conclude(): void {
    if (this.#ending === undefined && this.#parser.conclude()) this.#answer();
  }

  /**
   * Closes it for a reason of the client's; `onEnd` is called when requests are under way.
   *
   * @param last What is written first; the server then has five seconds to close, too.
   */
  close(ending: Ending = { kind: "own" }, last?: Uint8Array): void {
    this.#finish(ending, last);
  }

  #onData(chunk: Uint8Array): void {
    if (this.#ending !== undefined) return;
    try {
      this.#read(chunk);
    } catch (error) {
      if (!(error instanceof MalformedResponse)) throw error;
      return this.#finish({ kind: "malformed", message: error.message });
    }
    if (this.#options.readPauseMs > 0 && this.#pending.length > 0) this.#rest();
  }

  #read(chunk: Uint8Array): void {
    if (this.#isUpgraded) return this.#listener.onUpgraded?.(chunk, false);
    let at = 0;
    while (at < chunk.length && this.#ending === undefined) {
      const pending = this.#pending[0];
      if (pending === undefined) return this.#finish({ kind: "unsolicited" });
      at = this.#parser.read(chunk, at, pending);
      if (!this.#parser.complete) continue;
      this.#answer();
      if (this.#isUpgraded && this.#ending === undefined) {
        return this.#listener.onUpgraded?.(chunk.subarray(at), true);
      }
    }
  }

  #answer(): void {
    const pending = this.#pending.shift()!;
    const response = this.#parser.take();
    this.#options.wire.responses++;
    this.#isUpgraded = response.status === 101 && this.#listener.onUpgraded !== undefined;
    // First the verdict on the connection, so that the listener finds it closed.
    const unanswered = this.#pending.splice(response.keepAlive ? this.#pending.length : 0);
    if (!response.keepAlive) this.#finish({ kind: "announced" });
    this.#listener.onResponse(pending, response);
    if (unanswered.length > 0) this.#listener.onEnd({ kind: "behind-close" }, unanswered, false);
  }

  #onEof(): void {
    if (this.#ending !== undefined) return;
    if (this.#pending.length === 0 || !this.#parser.end()) this.#finish({ kind: "eof" });
    else if (RESET_MAY_LOOK_LIKE_EOF) this.#finish({ kind: "eof-or-reset" });
    else this.#answer();
  }

  #onError(error: unknown): void {
    const code = codeOf(error);
    this.#finish(this.#open ? { kind: "reset", code } : { kind: "connect-failed", code });
  }

  #finish(ending: Ending, last?: Uint8Array): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    const { endings } = this.#options.wire;
    const text = describeEnding(ending);
    endings.set(text, (endings.get(text) ?? 0) + 1);
    this.#resumeOff?.();
    const partial = this.#parser.partial;
    if (last === undefined) this.#socket.destroy();
    else this.#endWith(last);
    const unanswered = this.#pending.splice(0);
    if (ending.kind !== "announced") this.#listener.onEnd(ending, unanswered, partial);
  }

  #endWith(last: Uint8Array): void {
    this.#socket.once("close", this.#options.later(FAREWELL_MS, () => this.#socket.destroy()));
    this.#socket.end(last);
  }

  #rest(): void {
    this.#socket.pause();
    this.#resumeOff = this.#options.later(this.#options.readPauseMs, () => {
      if (this.#ending === undefined) this.#socket.resume();
    });
  }
}

function dial(target: Target): net.Socket {
  if ("path" in target) return net.connect({ path: target.path });
  const { port, hostname: host = "127.0.0.1" } = target;
  if (target.tls !== true) return net.connect({ port, host, noDelay: true });
  const socket = tls.connect({ port, host, rejectUnauthorized: false });
  socket.setNoDelay(true);
  return socket;
}

// Deno and Bun name a libuv too, but do not read sockets with it.
function isOldLibuv(versions: Readonly<Record<string, string | undefined>>): boolean {
  const { uv, deno, bun } = versions;
  if (uv === undefined || deno !== undefined || bun !== undefined) return false;
  const [major = 0, minor = 0] = uv.split(".").map(Number);
  return major === 1 && minor < 52;
}

function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "UNKNOWN";
  return String(error.code);
}
