/**
 * A client of the control socket.
 *
 * @module
 */

import { type IncomingMessage, request } from "node:http";

/** What was answered. */
export interface ControlAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  // deno-lint-ignore no-explicit-any -- each test looks at what it asked for
  readonly json: any;
}

function send(socketPath: string, method: string, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, agent: false }, resolve);
    sent.on("error", reject);
    sent.end();
  });
}

/** Asks once. */
export async function control(
  socketPath: string,
  method: string,
  path: string,
): Promise<ControlAnswer> {
  const response = await send(socketPath, method, path);
  response.setEncoding("utf8");
  let text = "";
  for await (const chunk of response) text += chunk;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.statusCode ?? 0, headers: response.headers, text, json };
}

/** One event of a stream. */
export interface StreamEvent {
  readonly event: string;
  // deno-lint-ignore no-explicit-any -- as above
  readonly data: any;
}

/** Follows the events until the stream ends. */
export class Follower {
  readonly events: StreamEvent[] = [];
  /** Resolves with all events when the stream has ended. */
  readonly ended: Promise<readonly StreamEvent[]>;
  readonly #response: IncomingMessage;
  readonly #wakes = new Set<() => void>();
  #isOver = false;

  private constructor(response: IncomingMessage) {
    this.#response = response;
    let pending = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      const texts = (pending + chunk).split("\n\n");
      pending = texts.pop() ?? "";
      for (const text of texts) {
        const [, event, data] = /^event: (.+)\ndata: (.+)$/.exec(text) ?? [];
        if (event !== undefined) this.events.push({ event, data: JSON.parse(data ?? "null") });
      }
      this.#wake();
    });
    this.ended = new Promise((resolve) => {
      const over = () => {
        this.#isOver = true;
        this.#wake();
        resolve(this.events);
      };
      response.once("end", over);
      response.once("error", over);
      response.once("close", over);
    });
  }

  /** Begins to follow. */
  static async of(socketPath: string): Promise<Follower> {
    const follower = new Follower(await send(socketPath, "GET", "/events"));
    await follower.heard("status");
    return follower;
  }

  /** Waits for an event. @throws {Error} when the stream ends before. */
  async heard(event: string): Promise<StreamEvent> {
    for (;;) {
      const found = this.events.find((heard) => heard.event === event);
      if (found !== undefined) return found;
      if (this.#isOver) throw new Error(`The stream ended before "${event}"`);
      await new Promise<void>((resolve) => this.#wakes.add(resolve));
    }
  }

  /** Leaves. */
  destroy(): void {
    this.#response.destroy();
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
    this.#wakes.clear();
  }
}
