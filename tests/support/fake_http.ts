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
  /** What was set. */
  readonly headers: Record<string, string> = {};
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

  /** Whether it tells the client to reconnect. */
  get saysGoodbye(): boolean {
    return this.headers["connection"] === "close" && !this.shouldKeepAlive;
  }

  /** Finishes it; the server then closes the connection if that is what it said. */
  finish(): void {
    this.headersSent = true;
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
