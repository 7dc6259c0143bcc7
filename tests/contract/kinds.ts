/**
 * Servers of the kinds that a backend has to know, and a client that suits them all.
 *
 * @module
 */

import { createServer as createHttpServer } from "node:http";
import net from "node:net";
import process from "node:process";
import type { BoundAddress } from "../../src/address.ts";
import type {
  Backend,
  ListenAt,
  Listener,
  ListenTarget,
  Runtime,
} from "../../src/backend/backend.ts";

// deno-lint-ignore no-explicit-any -- the global objects of two runtimes
const { Bun, Deno } = globalThis as any;

/** One way to get a server that listens. */
export interface Kind {
  /** For titles and commands. */
  readonly name: string;
  /** The only runtime that has it. */
  readonly runtime?: Runtime;
  /** Makes a server listen; `served` is called for each request. */
  listen(backend: Backend, target: ListenTarget, served: () => void): Promise<Listener>;
}

const body = String(process.pid);
const response = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

function netServer(served: () => void): net.Server {
  return net.createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => {
      served();
      socket.write(response);
    });
  });
}

function httpServer(served: () => void): net.Server {
  return createHttpServer((_request, response) => {
    served();
    response.end(body);
  });
}

function started(server: net.Server, at: ListenAt): net.Server {
  return server.listen(at as net.ListenOptions);
}

/** Objects that never listen themselves: what a backend without a network can take. */
export const memoryKinds: readonly Kind[] = [
  {
    name: "an object",
    listen: (backend, target) => backend.listen({ listen() {}, close() {} }, target),
  },
  {
    name: "an object that a function starts",
    listen: (backend, target) => backend.start(() => ({ close() {} }), target),
  },
];

/** What really listens. */
export const kinds: readonly Kind[] = [
  {
    name: "a net.Server",
    listen: (backend, target, served) => backend.listen(netServer(served), target),
  },
  {
    name: "an http.Server",
    listen: (backend, target, served) => backend.listen(httpServer(served), target),
  },
  {
    name: "an http.Server that a function starts",
    listen: (backend, target, served) =>
      backend.start((at) => started(httpServer(served), at), target),
  },
  {
    name: "a net.Server that a function starts",
    listen: (backend, target, served) =>
      backend.start((at) => started(netServer(served), at), target),
  },
  {
    name: "a net.Server that listens when its function resolves",
    listen: (backend, target, served) =>
      backend.start((at) => {
        const server = netServer(served);
        return new Promise((resolve, reject) => {
          server.once("error", reject);
          server.listen(at as net.ListenOptions, () => resolve(server));
        });
      }, target),
  },
  {
    name: "Deno.serve",
    runtime: "deno",
    listen: (backend, target, served) =>
      backend.start((at) =>
        Deno.serve({ ...at, onListen() {} }, () => {
          served();
          return new Response(body);
        }), target),
  },
  {
    name: "Bun.serve",
    runtime: "bun",
    listen: (backend, target, served) =>
      backend.start((at) =>
        Bun.serve({
          ...at,
          fetch() {
            served();
            return new Response(body);
          },
        }), target),
  },
];

/** Functions that do not do what they are asked for. */
export const disobedient: readonly Kind[] = [
  {
    name: "a function that returns nothing",
    listen: (backend, target) => backend.start(() => undefined, target),
  },
  {
    name: "a function that listens somewhere else",
    // Not where a placeholder is, which is as good as any.
    listen: (backend, target, served) =>
      backend.start(() => httpServer(served).listen(0, "127.0.0.2"), target),
  },
];

/** Finds a kind by its name. */
export function kindOf(name: string): Kind {
  const found = [...memoryKinds, ...kinds, ...disobedient].find((kind) => kind.name === name);
  if (found === undefined) throw new Error(`There is no ${name}`);
  return found;
}

/** One connection, on which requests can be made one after another. */
export class Client {
  readonly #socket: net.Socket;
  #text = "";
  #ended = false;
  #wake: () => void = () => {};

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      this.#text += text;
      this.#wake();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** Connects; rejects with the system's error. `host` where the bound address stands for several. */
  static connect(bound: BoundAddress, host?: string): Promise<Client> {
    const socket = net.connect(
      bound.kind === "unix"
        ? { path: bound.path }
        : { port: bound.port, host: host ?? bound.hostname },
    );
    return new Promise((resolve, reject) => {
      socket.once("error", reject);
      socket.once("connect", () => resolve(new Client(socket)));
    });
  }

  /** Sends a request. */
  send(): void {
    this.#socket.write("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  }

  /** The answer: the process id of whoever served it. */
  async answer(): Promise<number> {
    for (;;) {
      const [head = "", rest] = this.#text.split("\r\n\r\n");
      const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? NaN);
      if (rest !== undefined && rest.length >= length) {
        this.#text = rest.slice(length);
        return Number(rest.slice(0, length));
      }
      if (this.#ended) throw new Error(`The connection ended after ${JSON.stringify(this.#text)}`);
      await new Promise<void>((resolve) => void (this.#wake = resolve));
    }
  }

  /** Sends a request and waits for the answer. */
  ask(): Promise<number> {
    this.send();
    return this.answer();
  }

  /** Ends the connection. */
  close(): void {
    this.#socket.destroy();
  }
}
