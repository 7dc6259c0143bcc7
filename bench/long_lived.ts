/**
 * What outlives a request in the servers of the proof and of the soak: WebSockets that echo text, and streams of events
 * with the ids 1, 2, 3, which the server ends itself when it drains (docs/frameworks.md).
 *
 * @module
 */

import type { RequestListener, Server, ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { clearInterval, setInterval } from "node:timers";
import type { Upgrader } from "../mod.ts";

/** Where the events are. */
export const EVENTS_PATH = "/events";

const EVENT_MS = 20;
/** When a client comes back, so that not all of them ask while their server still drains. */
const GOODBYE = "retry: 50\n\n";
const CONTENT_TYPE = "text/event-stream";

// deno-lint-ignore no-explicit-any -- the global object of a runtime
const { Deno } = globalThis as any;

/** What answers the other requests, as `Bun.serve` and `Deno.serve` want it. */
type Fetch = (request: Request) => Promise<Response>;

interface BunServer {
  upgrade(request: Request, options: { headers: Record<string, string> }): boolean;
}

interface Stream {
  write(text: string): void;
  end(text: string): void;
}

/** The WebSockets and streams of one process. */
export class LongLived {
  /** What `Bun.serve` wants to know of WebSockets. */
  readonly websocket = {
    message: (socket: { send(data: unknown): unknown }, data: unknown): void =>
      void socket.send(data),
  };
  readonly #identity: Record<string, string>;
  readonly #leave = new Set<() => void>();
  #isDraining = false;

  constructor(upgrader: Upgrader, identity: string) {
    this.#identity = { "x-generation": identity };
    upgrader.drainWith("events", () => {
      this.#isDraining = true;
      for (const leave of this.#leave) leave();
    }, { connections: () => this.#leave.size });
  }

  /** Adds them to a server of `node:http` or `node:https`; WebSockets are those of the package `ws`. */
  on<S extends Server>(server: S, listener: RequestListener): S {
    const { WebSocketServer } = createRequire(import.meta.url)("ws");
    const sockets = new WebSocketServer({ server, perMessageDeflate: false });
    sockets.on("headers", (lines: string[]) => {
      for (const [name, value] of Object.entries(this.#identity)) lines.push(`${name}: ${value}`);
    });
    // deno-lint-ignore no-explicit-any -- "ws" has no types of its own
    sockets.on("connection", (socket: any) => {
      socket.on("message", (data: unknown) => socket.send(String(data)));
      socket.on("error", () => {}); // "close" follows
    });
    server.on("request", (request, response) => {
      if (request.url === EVENTS_PATH) this.#stream(response);
      else listener(request, response);
    });
    return server;
  }

  /** Adds them to a handler of `Bun.serve` or `Deno.serve`. */
  with(fetch: Fetch): (request: Request, server: unknown) => Promise<Response | undefined> {
    return async (request, server) => {
      if (request.url.endsWith(EVENTS_PATH)) return this.#response();
      if (request.headers.get("upgrade") !== "websocket") return await fetch(request);
      if (Deno !== undefined) return echoOnDeno(request);
      const headers = this.#identity;
      return (server as BunServer).upgrade(request, { headers }) ? undefined : Response.error();
    };
  }

  #stream(response: ServerResponse): void {
    response.writeHead(200, { ...this.#identity, "content-type": CONTENT_TYPE });
    const gone = this.#begin({
      write: (text) => void response.write(text),
      end: (text) => void response.end(text),
    });
    response.on("close", gone);
  }

  #response(): Response {
    const encoder = new TextEncoder();
    let gone = () => {};
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        gone = this.#begin({
          write: (text) => controller.enqueue(encoder.encode(text)),
          end: (text) => {
            controller.enqueue(encoder.encode(text));
            controller.close();
          },
        });
      },
      cancel: () => gone(),
    });
    return new Response(body, { headers: { ...this.#identity, "content-type": CONTENT_TYPE } });
  }

  /** @returns What is to be called when the client has gone. */
  #begin(stream: Stream): () => void {
    // A client whose connection is kept may ask in the middle of the drain.
    if (this.#isDraining) {
      stream.end(GOODBYE);
      return () => {};
    }
    let id = 0;
    const next = () => stream.write(`id: ${++id}\ndata: event ${id}\n\n`);
    const timer = setInterval(next, EVENT_MS);
    const gone = () => {
      clearInterval(timer);
      this.#leave.delete(leave);
    };
    const leave = () => {
      gone();
      stream.end(GOODBYE);
    };
    this.#leave.add(leave);
    next();
    return gone;
  }
}

function echoOnDeno(request: Request): Response {
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.onmessage = ({ data }: { data: unknown }) => socket.send(data);
  socket.onerror = () => {}; // "close" follows
  return response;
}
