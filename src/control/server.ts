/**
 * The listening side of the control socket: who is let in, and how it is left.
 *
 * @module
 */

import process from "node:process";
import type { Server, Socket } from "node:net";
import type { Clock, Disposer } from "../backend/backend.ts";
import { refusal } from "./answer.ts";
import { publish, type Published, socketAt, unpublish } from "./path.ts";
import { type Respond, Visitor } from "./visitor.ts";

/** How many clients may be connected at the same time. */
export const MAX_VISITORS = 256;
const MAX_TURNED_AWAY = 64;
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
  /** Keeps a descriptor from subprocesses. */
  secure(fd: number): void;
  /** The user of a client; `undefined` where that cannot be learnt. */
  peerUser(fd: number): number | undefined;
  /** Something that an operator should know. */
  warn(message: string): void;
}

/** A control socket that changes hands. */
export class ControlServer {
  readonly #path: string;
  readonly #parts: ControlServerParts;
  readonly #visitors = new Set<Visitor>();
  #server: Server | undefined;
  #published: Published | undefined;
  /** Servers whose path is somebody else's and that hear who came before. */
  #closing = 0;
  #came = 0;
  #cancelLinger: Disposer = () => {};
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

  /** Whether what is at the path is this process's. */
  get isOwner(): boolean {
    if (this.#published === undefined || this.#isLeaving) return false;
    try {
      return socketAt(this.#path) === this.#published.socket;
    } catch {
      return false;
    }
  }

  /** Makes the path this process's, in this tick, unless it is. @throws {UpgradeError} `ERR_ADDRESS` */
  take(): void {
    if (this.#isLeaving || this.isOwner) return;
    const before = this.#server;
    // Half open: a client may end its side once it has asked.
    const { createServer } = process.getBuiltinModule("node:net");
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#welcome(socket));
    server.on("error", (error) => {
      if (this.#server === server) this.#parts.warn(`control socket: ${error.message}`);
    });
    try {
      this.#published = publish(this.#path, (at) => {
        server.listen({ path: at, backlog: MAX_VISITORS });
      });
    } catch (error) {
      server.close();
      throw error;
    }
    // It serves the program; it does not keep it alive, and no subprocess is to hold it open.
    server.unref();
    const fd = descriptorOf(server);
    if (fd !== undefined) this.#parts.secure(fd);
    this.#server = server;
    if (before !== undefined) void this.#close(before);
  }

  /** Gives the path up, hears those who came before, and ends. */
  leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    if (this.#published !== undefined) unpublish(this.#path, this.#published.socket);
    this.#cancelLinger = this.#parts.clock.after(LINGER_MS, () => {
      for (const visitor of this.#visitors) visitor.destroy();
    });
    if (this.#server !== undefined) void this.#close(this.#server);
    this.#check();
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
    // There is a little room for those who are told that there is none.
    if (this.#visitors.size >= MAX_VISITORS + MAX_TURNED_AWAY) return void socket.destroy();
    const isFull = this.#visitors.size >= MAX_VISITORS;
    const visitor = new Visitor(socket, this.#parts.clock, this.#parts.respond, (gone) => {
      this.#visitors.delete(gone);
      this.#parts.gone(gone);
      this.#check();
    });
    this.#visitors.add(visitor);
    if (this.#isStranger(socket)) {
      visitor.answer(refusal(403, "Cannot answer: this is another user's process"));
    } else if (isFull) {
      visitor.answer(refusal(503, "Cannot answer: too many clients are connected"));
    }
  }

  /** Mode 0600 keeps others out; this also holds when somebody has changed the mode. */
  #isStranger(socket: Socket): boolean {
    const fd = descriptorOf(socket);
    const user = fd === undefined ? undefined : this.#parts.peerUser(fd);
    if (user === undefined || user === 0 || user === this.#published?.user) return false;
    this.#parts.warn(`control socket: user ${user} was turned away`);
    return true;
  }

  #check(): void {
    if (!this.#isLeaving || this.#isLeft || this.#closing > 0 || this.#visitors.size > 0) return;
    this.#isLeft = true;
    this.#cancelLinger();
    this.#resolveLeft();
  }
}

/** The descriptor of a server or connection of `node:net`, where the runtime tells it. */
function descriptorOf(of: Server | Socket): number | undefined {
  const fd = (of as { readonly _handle?: { readonly fd?: unknown } | null })._handle?.fd;
  return typeof fd === "number" && fd >= 0 ? fd : undefined;
}
