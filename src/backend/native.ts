/**
 * What a backend tells of a server that the runtime made itself (`Bun.serve`, `Deno.serve`), so that its connections can
 * be let go one by one.
 *
 * Connections are seen from outside, as sockets; requests from inside, as calls of the handler. The address of the client
 * says which belong together.
 *
 * @module
 */

/** One open connection. */
export interface OpenConnection {
  /** Its descriptor. */
  readonly fd: number;
  /** Tells it from others: the client's address, of a Unix socket the descriptor. */
  readonly key: string;
}

/** What was seen of a server's connections. */
export interface SeenConnections {
  /** Those that are open. */
  readonly open: readonly OpenConnection[];
  /** How many are over besides: their owner is about to close them. */
  readonly over: number;
}

/** The open connections of a server. */
export interface NativeConnections {
  /** All that are there now, in one go: with thousands that takes its time. */
  now(): SeenConnections;
  /**
   * All, seen in portions between which the event loop turns. What was open all the time is among them; what is not was
   * not there at some moment since the call.
   */
  look(): Promise<SeenConnections>;
  /** For how many milliseconds nothing was sent or received; `undefined` where nobody knows (Unix sockets). */
  quietMs(connection: OpenConnection): number | undefined;
  /** Holds back what is less than a packet, for 200 ms at the longest, or sends it; TCP only. */
  hold(connection: OpenConnection, on: boolean): void;
  /** Whether something has arrived that was not read yet. */
  hasUnread(connection: OpenConnection): boolean;
  /** Closes a connection. */
  close(connection: OpenConnection): void;
}

/** An open WebSocket. */
export interface NativeWebSocket {
  /** The same for the same WebSocket. */
  readonly id: object;
  /** Of its connection, where that is known. */
  readonly key: string | undefined;
  /** Calls `then` once, right behind the next message that the server sends on it. */
  onNextMessage(then: () => void): void;
  /** Whether a message and what follows it leave one by one, and not with one call. */
  readonly sendsApart: boolean;
  /** Begins the closing handshake (RFC 6455, 7.1.2); from then on its connection counts as answered. */
  close(code: number, reason: string): void;
  /** Whether nobody has begun that yet. */
  readonly isOpen: boolean;
}

/** What is being answered. */
export interface OpenRequests {
  /** The connections of requests and WebSockets. */
  readonly keys: ReadonlySet<string>;
  /** How many there are besides, on connections that are not known. */
  readonly unknown: number;
}

/** Looks at a response before it is sent, and may replace it. */
export type LeaveTaking = (response: Response, key: string | undefined) => Response;

/** The requests of a server. */
export interface NativeRequests {
  /** What is being answered now. */
  open(): OpenRequests;
  /** How many requests were answered since `begin`. */
  answered(): number;
  /** The WebSockets that are open now. */
  webSockets(): Iterable<NativeWebSocket>;
  /** Closes all connections on which nothing is being answered, where the server knows them itself. */
  closeIdle?(): void;
  /** From now on every response passes through `leave`. */
  begin(leave: LeaveTaking): void;
  /** No response does any more. */
  end(): void;
}
