/**
 * HTTP connections without a network, for the tests of `src/drain/`.
 *
 * @module
 */

import { EventEmitter } from "node:events";
import { FakeConnection } from "./fake_app.ts";

/** A response, as far as a drain looks at it. */
export class FakeResponse extends EventEmitter {
  /** Whether its head is on the way. */
  headersSent = false;
  /** As `node:http` has it. */
  shouldKeepAlive = true;
  /** As streams have it. */
  writableFinished = true;
  /** What was set. */
  readonly headers: Record<string, string> = {};
  /** Its status, once its head is on the way. */
  status: number | undefined;
  readonly #connection: FakeConnection;

  /** Made by {@linkcode FakeHttpServer.request}. */
  constructor(connection: FakeConnection) {
    super();
    this.#connection = connection;
  }

  /** As `node:http` has it. */
  setHeader(name: string, value: string): this {
    this.headers[name.toLowerCase()] = value;
    return this;
  }

  /** As `node:http` has it. */
  getHeader(name: string): string | undefined {
    return this.headers[name.toLowerCase()];
  }

  /** As `node:http` has it, with a record or with pairs. */
  writeHead(status: number, headers?: Record<string, string> | string[] | string[][]): this {
    const pairs = headers === undefined
      ? []
      : !Array.isArray(headers)
      ? Object.entries(headers)
      : Array.isArray(headers[0])
      ? headers as string[][]
      : [headers as string[]];
    for (const [name = "", value = ""] of pairs) this.setHeader(name, value);
    this.status = status;
    if (status >= 200) this.headersSent = true;
    return this;
  }

  /** Whether it tells the client to reconnect. */
  get saysGoodbye(): boolean {
    return /\bclose$/.test(this.headers["connection"] ?? "") && !this.shouldKeepAlive;
  }

  /** Finishes it; the server then closes the connection if that is what it said. */
  finish(): void {
    if (!this.headersSent) this.writeHead(200);
    this.emit("close");
    if (this.saysGoodbye) this.#connection.destroy();
  }
}

/** A `node:http` server, as far as a drain looks at it. */
export class FakeHttpServer extends EventEmitter {
  /** By this property a drain knows it for HTTP. */
  readonly keepAliveTimeout = 5000;
  /** The event by which it tells connections. */
  readonly #event: "connection" | "secureConnection";

  /** @param tls Whether requests come on a secure socket. */
  constructor(tls = false) {
    super();
    this.#event = tls ? "secureConnection" : "connection";
    // As node:http does; a drain looks for it.
    this.on(this.#event, () => {});
  }

  /** A client connects. */
  connect(): FakeConnection {
    const connection = new FakeConnection();
    this.emit(this.#event, connection);
    return connection;
  }

  /** A request arrives on a connection. */
  request(connection: FakeConnection, httpVersionMajor = 1): FakeResponse {
    const response = new FakeResponse(connection);
    this.emit("request", { socket: connection, httpVersionMajor }, response);
    return response;
  }

  /** A request arrives and is answered. @returns Whether the client was told to reconnect. */
  serve(connection: FakeConnection): boolean {
    const response = this.request(connection);
    response.finish();
    return response.saysGoodbye;
  }
}
