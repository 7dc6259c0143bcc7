/**
 * The client of the control socket: HTTP/1.1 with JSON on a Unix socket, one connection for each request.
 *
 * @module
 */

import { statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import type { UpgradeReport, UpgraderStatus } from "../report.ts";
import { EventStreamDecoder } from "./event_stream.ts";
import { CommandError, NOTHING_THERE } from "./exit_codes.ts";
import { joined, ResponseDecoder } from "./response.ts";

const LONGEST_ANSWER = 16 * 1024 * 1024;

/** Why the service refused or failed. */
export interface ControlError {
  /** `UpgradeError`, or what else was thrown. */
  readonly name?: string;
  /** Stable name of the failure. */
  readonly code?: string;
  /** What happened. */
  readonly message: string;
  /** What the child said last. */
  readonly childOutput?: string;
  /** The child's exit code. */
  readonly exitCode?: number;
  /** The signal that ended the child. */
  readonly signal?: string;
}

/** What the service answers to a request to do something. */
export type ControlAnswer =
  | { readonly ok: true; readonly report?: UpgradeReport }
  | { readonly ok: false; readonly error: ControlError };

/** An event of the stream; `data` is JSON. */
export interface ControlEvent {
  /** `"status"`, or an event of the upgrader. */
  readonly event: string;
  // deno-lint-ignore no-explicit-any -- of another process, perhaps of another version
  readonly data: any;
}

/** The connection broke before the answer: the process is gone, or another one owns the socket now. */
export class AnswerLost extends Error {}

/** The control socket of a service. */
export class Control {
  readonly #path: string;

  /**
   * A client.
   *
   * @param path Where the socket is.
   */
  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Asks for the status.
   *
   * @throws {CommandError} `NOTHING_THERE` when nobody answers, or somebody who does not know the question.
   * @throws {AnswerLost} When the connection broke.
   */
  async status(signal: AbortSignal): Promise<UpgraderStatus> {
    const { status, json } = await this.#ask("GET", "/status", signal);
    if (status === 200 && typeof json?.generation === "number" && typeof json.pid === "number") {
      return json;
    }
    throw this.#stranger(status, json);
  }

  /**
   * Asks for something to be done.
   *
   * @param what `"upgrade"` is answered when it is decided, `"stop"` at once.
   * @throws {CommandError} As `status`.
   * @throws {AnswerLost} As `status`.
   */
  async request(what: "upgrade" | "stop", signal: AbortSignal): Promise<ControlAnswer> {
    const { status, json } = await this.#ask("POST", `/${what}`, signal);
    if (status >= 200 && status < 300 && json?.ok === true) return json;
    const known = json?.ok === false && typeof json.error?.message === "string";
    // What the socket itself refuses has not come to the service.
    if (known && !String(json.error.code).startsWith("ERR_HTTP_")) return json;
    throw this.#stranger(status, json);
  }

  /**
   * Follows the events of the process that owns the socket.
   *
   * @param tell Is called with each; the first is `status`.
   * @param signal Ends it.
   * @returns When the stream ends: the process leaves, or another one is the owner.
   * @throws {CommandError} As `status`.
   * @throws {AnswerLost} As `status`.
   */
  async follow(tell: (event: ControlEvent) => void, signal: AbortSignal): Promise<void> {
    const decoder = new EventStreamDecoder();
    const { status, body } = await this.#exchange("GET", "/events", signal, (part) => {
      for (const { event, data } of decoder.push(part)) {
        const value = parsed(data);
        if (value !== undefined) tell({ event, data: value });
      }
    });
    if (status !== 200) throw this.#stranger(status, parsed(body));
  }

  async #ask(
    method: string,
    target: string,
    signal: AbortSignal,
  ): Promise<{ status: number; json: Any }> {
    const { status, body } = await this.#exchange(method, target, signal);
    return { status, json: parsed(body) };
  }

  /** One request; the parts of a good answer go to `follow`, if there is one, else they are collected. */
  #exchange(
    method: string,
    target: string,
    signal: AbortSignal,
    follow?: (part: Uint8Array) => void,
  ): Promise<{ status: number; body: string }> {
    this.#look();
    return new Promise((resolve, reject) => {
      const decoder = new ResponseDecoder();
      const parts: Uint8Array[] = [];
      let size = 0;
      let connected = false;
      let socket: Socket;
      try {
        socket = connect({ path: this.#path });
      } catch (error) {
        return reject(this.#unreachable(error as Error)); // a permission that this program was not given
      }
      const settle = (finish: () => void) => {
        signal.removeEventListener("abort", abort);
        socket.destroy();
        finish();
      };
      const abort = () => settle(() => reject(signal.reason));
      const fail = (error: Error) => settle(() => reject(error));
      const done = () => {
        const body = new TextDecoder().decode(joined(parts));
        settle(() => resolve({ status: decoder.status, body }));
      };
      if (signal.aborted) return abort();
      signal.addEventListener("abort", abort);
      socket.once("connect", () => {
        connected = true;
        const body = method === "POST" ? "content-length: 0\r\n" : "";
        socket.write(
          `${method} ${target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${body}\r\n`,
        );
      });
      // Deno swallows what is thrown in here, so nothing is.
      socket.on("data", (bytes: Uint8Array) => {
        try {
          for (const part of decoder.push(bytes)) {
            if (follow !== undefined && decoder.status === 200) follow(part);
            else parts.push(part);
            size += follow === undefined ? part.length : 0;
          }
          if (size > LONGEST_ANSWER) throw new RangeError("the answer has no end");
          if (decoder.complete) done();
        } catch (error) {
          fail(this.#noService((error as Error).message));
        }
      });
      const ended = () => {
        try {
          decoder.end();
          done();
        } catch (error) {
          // An event stream has no end of its own.
          if (follow !== undefined && decoder.status === 200) done();
          else fail(new AnswerLost((error as Error).message));
        }
      };
      socket.once("end", ended);
      socket.once("close", ended); // also without an end, when the connection was reset
      socket.once("error", (error: Error & { readonly code?: string }) => {
        if (follow !== undefined && decoder.status === 200) done();
        else fail(connected ? new AnswerLost(error.message) : this.#unreachable(error));
      });
    });
  }

  /** What is at the path, before anything is sent: clearer than what connect(2) says. */
  #look(): void {
    let found;
    try {
      found = statSync(this.#path);
    } catch (error) {
      throw this.#unreachable(error as Error & { readonly code?: string });
    }
    if (!found.isSocket()) throw this.#noService("it is no socket");
  }

  #unreachable(error: Error & { readonly code?: string }): CommandError {
    switch (error.code) {
      case "ENOENT":
      case "ENOTDIR":
        return this.#noService("there is no such socket; does the service run, with this path?");
      case "ECONNREFUSED":
        return this.#noService("nobody listens there; the process that made it is gone");
      case "EACCES":
      case "EPERM":
        return this.#noService("this user may not connect to it; run this as the service's user");
      default:
        return this.#noService(error.message);
    }
  }

  #stranger(status: number, json: Any): CommandError {
    const said = typeof json?.error?.message === "string" ? `: ${json.error.message}` : "";
    return this.#noService(
      said === "" ? `what answers is no service of this kind (status ${status})` : `refused${said}`,
    );
  }

  #noService(why: string): CommandError {
    return new CommandError(
      NOTHING_THERE,
      `nothing to talk to at ${JSON.stringify(this.#path)}: ${why}`,
    );
  }
}

// deno-lint-ignore no-explicit-any -- see ControlEvent
type Any = any;

function parsed(text: string): Any {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
