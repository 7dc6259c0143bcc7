/**
 * The control socket: HTTP/1.1 with JSON on a Unix socket that belongs to the owner of the service.
 *
 * @module
 */

import type { Clock } from "../backend/backend.ts";
import { failure, json, refusal, tellError } from "./answer.ts";
import { EventStreams } from "./events.ts";
import { checkPath, isServed, refusePath } from "./path.ts";
import type { ControlRequest } from "./request.ts";
import { ControlServer } from "./server.ts";
import type { Visitor } from "./visitor.ts";

/** What a client can ask for. */
export interface ControlActions {
  /** Plain JSON. */
  status(): unknown;
  /** Resolves with the report. */
  upgrade(): Promise<unknown>;
  stop(): void;
  /** Prometheus text. */
  metrics(): string;
}

/** What the control socket needs. */
export interface ControlParts {
  readonly clock: Clock;
  readonly actions: ControlActions;
  caughtUp(): Promise<void>;
  /** Keeps a descriptor from subprocesses. */
  secure(fd: number): void;
  /** The user of a client; `undefined` where that cannot be learnt. */
  peerUser(fd: number): number | undefined;
  warn(message: string): void;
}

type Route = (visitor: Visitor, withBody: boolean) => void;

/** The control socket of one process. */
export class ControlSocket {
  readonly #path: string;
  readonly #parts: ControlParts;
  readonly #server: ControlServer;
  readonly #streams: EventStreams;
  readonly #routes: Readonly<Record<string, Readonly<Record<string, Route>>>>;

  constructor(path: string, parts: ControlParts) {
    this.#path = path;
    this.#parts = parts;
    const { clock, actions } = parts;
    this.#streams = new EventStreams(clock);
    this.#server = new ControlServer(path, {
      ...parts,
      respond: (visitor, request) => this.#respond(visitor, request),
      gone: (visitor) => this.#streams.delete(visitor),
    });
    const status: Route = (visitor, withBody) =>
      visitor.answer(json(200, actions.status()), withBody);
    const metrics: Route = (visitor, withBody) =>
      visitor.answer({
        status: 200,
        type: "text/plain; version=0.0.4; charset=utf-8",
        text: actions.metrics(),
      }, withBody);
    this.#routes = {
      "/status": { GET: status, HEAD: status },
      "/metrics": { GET: metrics, HEAD: metrics },
      "/events": { GET: (visitor) => this.#stream(visitor) },
      "/upgrade": { POST: (visitor) => void this.#upgrade(visitor) },
      "/stop": {
        POST: (visitor) => {
          visitor.answer(json(202, { ok: true }));
          actions.stop();
        },
      },
    };
  }

  /** Resolves when everybody who came before {@linkcode leave} has been heard, which is bounded. */
  get left(): Promise<void> {
    return this.#server.left;
  }

  /**
   * Checks that the path can be taken, before anything depends on it.
   *
   * @param isParents The parent serves this very path and will give it up.
   * @throws {UpgradeError} `ERR_ADDRESS`
   */
  async check(isParents: boolean): Promise<void> {
    checkPath(this.#path);
    if (!isParents && await isServed(this.#path)) {
      throw refusePath(
        this.#path,
        "another process serves it, or another user owns it; stop that process or choose another path",
      );
    }
  }

  /** The path, when what is there is this process's. */
  get owned(): string | undefined {
    return this.#server.isOwner ? this.#path : undefined;
  }

  /** Makes the path this process's, in this tick. @throws {UpgradeError} `ERR_ADDRESS` */
  take(): void {
    this.#server.take();
  }

  /** Tells those who listen. */
  tell(event: string, detail: { readonly error?: unknown }): void {
    const { error } = detail;
    this.#streams.tell(
      event,
      error === undefined ? detail : { ...detail, error: tellError(error) },
    );
  }

  /** Gives the path up. What is told in this tick is told to those who listen, and is the last that they hear. */
  leave(): void {
    this.#server.leave();
    queueMicrotask(() => this.#streams.end());
  }

  #respond(visitor: Visitor, { method, path }: ControlRequest): void {
    const route = Object.hasOwn(this.#routes, path) ? this.#routes[path] : undefined;
    if (route === undefined) {
      const known = Object.keys(this.#routes).join(", ");
      return visitor.answer(
        refusal(404, `Cannot find ${path}: there are ${known}`),
        method !== "HEAD",
      );
    }
    const act = Object.hasOwn(route, method) ? route[method] : undefined;
    if (act === undefined) {
      const allow = Object.keys(route).join(", ");
      const message = `Cannot ${method} ${path}: allowed is ${allow}`;
      return visitor.answer(refusal(405, message, allow), method !== "HEAD");
    }
    try {
      act(visitor, method !== "HEAD");
    } catch (error) {
      visitor.answer(failure(error));
    }
  }

  async #upgrade(visitor: Visitor): Promise<void> {
    try {
      visitor.answer(json(200, { ok: true, report: await this.#parts.actions.upgrade() }));
    } catch (error) {
      visitor.answer(failure(error));
    }
  }

  #stream(visitor: Visitor): void {
    if (this.#streams.isFull) {
      return visitor.answer(refusal(503, "Cannot follow: too many clients follow already"));
    }
    this.#streams.add(visitor, this.#parts.actions.status());
  }
}
