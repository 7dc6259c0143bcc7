/**
 * The listening side of the control socket: who is let in, and how it is left.
 *
 * @module
 */

import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../backend/backend.ts";
import { refusal, wire } from "./answer.ts";
import { publish, socketAt, unpublish } from "./path.ts";
import { type Respond, Visitor } from "./visitor.ts";

/** How many clients may be connected at the same time. */
export const MAX_VISITORS = 256;
/** How long a process that leaves goes on hearing those who came before, in milliseconds. */
export const LINGER_MS = 2_000;

/** What the server needs. */
export interface ControlServerParts {
  readonly clock: Clock;
  /** Answers a request. */
  readonly respond: Respond;
  /** A client has left. */
  gone(visitor: Visitor): void;
  /** Resolves when every connection that waited has been told. */
  caughtUp(): Promise<void>;
  /** Why a client is not let in; `undefined` when it is. */
  stranger(socket: unknown): string | undefined;
  /** Something that an operator should know. */
  warn(message: string): void;
}

/** A control socket that changes hands. */
export class ControlServer {
  readonly #path: string;
  readonly #parts: ControlServerParts;
  readonly #visitors = new Set<Visitor>();
  #server: Server | undefined;
  /** What was published at the path. */
  #socket: string | undefined;
  /** Servers whose path is somebody else's and that hear who came before. */
  #closing = 0;
  #came = 0;
  #isLeaving = false;
  #isLeft = false;
  #resolveLeft!: () => void;
  /** After {@linkcode leave}: nobody is heard any more. */
  readonly left: Promise<void>;

  constructor(path: string, parts: ControlServerParts) {
    this.#path = path;
    this.#parts = parts;
    this.left = new Promise((resolve) => this.#resolveLeft = resolve);
  }

  /** How many clients are connected. */
  get visitors(): number {
    return this.#visitors.size;
  }

  /** Makes the path this process's, in this tick, unless it is. @throws {UpgradeError} `ERR_ADDRESS` */
  take(): void {
    if (this.#isLeaving || this.#isOurs()) return;
    const before = this.#server;
    // Half open: a client may end its side once it has asked.
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#welcome(socket));
    let failed: unknown;
    server.on("error", (error) => {
      failed ??= error;
      if (this.#server === server) this.#parts.warn(`control socket: ${error.message}`);
    });
    try {
      this.#socket = publish(this.#path, (at) => {
        server.listen({ path: at, backlog: MAX_VISITORS });
      });
    } catch (error) {
      server.close();
      throw error;
    }
    // It serves the program; it does not keep it alive.
    server.unref();
    this.#server = server;
    if (before !== undefined) void this.#close(before);
  }

  /** Gives the path up, hears those who came before, and ends. */
  leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    if (this.#socket !== undefined) unpublish(this.#path, this.#socket);
    this.#parts.clock.after(LINGER_MS, () => {
      for (const visitor of this.#visitors) visitor.destroy();
    });
    if (this.#server !== undefined) void this.#close(this.#server);
    this.#check();
  }

  #isOurs(): boolean {
    if (this.#socket === undefined) return false;
    try {
      return socketAt(this.#path) === this.#socket;
    } catch {
      return false;
    }
  }

  /** Closes a server once its queue is empty: who is in it was told nothing of a change. */
  async #close(server: Server): Promise<void> {
    this.#closing += 1;
    const deadline = this.#parts.clock.now() + LINGER_MS;
    for (let before = -1; before !== this.#came && this.#parts.clock.now() < deadline;) {
      before = this.#came;
      await this.#parts.caughtUp();
    }
    server.close();
    this.#closing -= 1;
    this.#check();
  }

  #welcome(socket: Socket): void {
    this.#came += 1;
    const stranger = this.#parts.stranger(socket);
    if (stranger !== undefined) {
      this.#parts.warn(stranger);
      return this.#turnAway(
        socket,
        wire(refusal(403, "Cannot answer: this is another user's process")),
      );
    }
    if (this.#visitors.size >= MAX_VISITORS) {
      return this.#turnAway(
        socket,
        wire(refusal(503, "Cannot answer: too many clients are connected")),
      );
    }
    this.#visitors.add(
      new Visitor(socket, this.#parts.clock, this.#parts.respond, (visitor) => {
        this.#visitors.delete(visitor);
        this.#parts.gone(visitor);
        this.#check();
      }),
    );
  }

  #turnAway(socket: Socket, text: string): void {
    socket.on("error", () => socket.destroy());
    socket.end(text, () => socket.destroy());
  }

  #check(): void {
    if (!this.#isLeaving || this.#isLeft || this.#closing > 0 || this.#visitors.size > 0) return;
    this.#isLeft = true;
    this.#resolveLeft();
  }
}
