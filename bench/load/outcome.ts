/**
 * What can become of a request: the classes, and how an ending of its connection maps to one. Pure. A message of a
 * WebSocket is a request, too, and so is the one that opens its connection; of events, the whole stream is one.
 *
 * @module
 */

/**
 * The classes; each request gets exactly one.
 *
 * - `answered`: the whole response arrived and is what was expected; a stream was ended by the server after a whole event,
 *   or left by the client when the load ended.
 * - `answered-short`: the connection ended in an orderly way (FIN) in the middle of the response, or a stream in the
 *   middle of an event.
 * - `reset-before-response`: reset (RST, broken pipe) after the request was begun to be written, before any byte of the response.
 * - `reset-after-partial`: reset in the middle of the response.
 * - `eof-before-response`: FIN, or a WebSocket's close frame, after the request was begun to be written, before any byte of
 *   the response.
 * - `refused`: nobody listens (or the Unix socket's path is missing, or its queue is full).
 * - `connect-reset`: reset while connecting.
 * - `timed-out`: no whole response in time, or no connection.
 * - `wrong-answer`: a whole response that is not what was expected, something that is not HTTP, a gap in a stream.
 * - `client-failed`: this machine could not connect for reasons of its own (no descriptors, no ports). Counted as lost,
 *   because it was not answered, but a fault of the measurement.
 * - `not-sent`: the connection was seen closed before the request was written. Not a loss: the client reconnects
 *   and sends its request, a new one in this account, there.
 */
export const OUTCOMES = [
  "answered",
  "answered-short",
  "reset-before-response",
  "reset-after-partial",
  "eof-before-response",
  "refused",
  "connect-reset",
  "timed-out",
  "wrong-answer",
  "client-failed",
  "not-sent",
] as const;

/** What became of a request: one of {@linkcode OUTCOMES}. */
export type Outcome = typeof OUTCOMES[number];

/** How many requests of each class. */
export type OutcomeCounts = { readonly [outcome in Outcome]: number };

/** How a connection, or the attempt to open one, ended. */
export type Ending =
  /** It could not be opened; `code` as in `ECONNREFUSED`. */
  | { readonly kind: "connect-failed"; readonly code: string }
  /** FIN. */
  | { readonly kind: "eof" }
  /** FIN or RST at the end of a body without length, where the runtime cannot tell them apart. */
  | { readonly kind: "eof-or-reset" }
  /** RST, or an error of the socket; `code` as in `ECONNRESET`. */
  | { readonly kind: "reset"; readonly code: string }
  | { readonly kind: "timeout" }
  /** What came is not HTTP. */
  | { readonly kind: "malformed"; readonly message: string }
  /**
   * A response said `Connection: close` while more pipelined requests were under way: the server must not answer
   * them and the client must not listen any more (RFC 9112, section 9.6).
   */
  | { readonly kind: "behind-close" }
  /** A WebSocket's close frame came: what the server has not answered before it, it will not answer. */
  | { readonly kind: "close-frame"; readonly code: string }
  /** The client closed it, because a response announced it. */
  | { readonly kind: "announced" }
  /** The client closed it for a reason of its own. */
  | { readonly kind: "own" }
  /** Bytes came although nothing had been asked. */
  | { readonly kind: "unsolicited" };

/** Reasons on this side of the wire, from `connect(2)` and `socket(2)`. */
const OWN_FAULTS: ReadonlySet<string> = new Set([
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  "ENOMEM",
  "EADDRNOTAVAIL",
  "EADDRINUSE",
  "EACCES",
  "EPERM",
]);

/**
 * The class of a request that was under way when its connection ended.
 *
 * @param partial Whether a part of its response had arrived.
 */
export function outcomeOf(ending: Ending, partial: boolean): Outcome {
  switch (ending.kind) {
    case "connect-failed":
      if (ending.code === "ECONNRESET" || ending.code === "EPIPE") return "connect-reset";
      if (ending.code === "ETIMEDOUT") return "timed-out";
      return OWN_FAULTS.has(ending.code) ? "client-failed" : "refused";
    case "eof":
      return partial ? "answered-short" : "eof-before-response";
    case "eof-or-reset":
      return "answered-short";
    case "reset":
      return partial ? "reset-after-partial" : "reset-before-response";
    case "timeout":
      return "timed-out";
    case "malformed":
      return "wrong-answer";
    case "behind-close":
    case "close-frame":
    case "announced":
      return "eof-before-response";
    case "unsolicited":
      return "wrong-answer";
    case "own":
      return "client-failed";
  }
}

/** A short text for statistics: `"reset ECONNRESET"`. */
export function describeEnding(ending: Ending): string {
  switch (ending.kind) {
    case "connect-failed":
    case "reset":
    case "close-frame":
      return `${ending.kind} ${ending.code}`;
    case "malformed":
      return `${ending.kind}: ${ending.message}`;
    default:
      return ending.kind;
  }
}

/** A counter of zero for each class. */
export function noOutcomes(): { [outcome in Outcome]: number } {
  return Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) as {
    [outcome in Outcome]: number;
  };
}
