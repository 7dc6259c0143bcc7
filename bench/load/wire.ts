/**
 * What a connection and its owner tell each other.
 *
 * @module
 */

import type { Ending } from "./outcome.ts";
import type { Expectation, Response } from "./response_parser.ts";

/** Where the server listens. */
export type Target =
  | {
    readonly port: number;
    readonly hostname?: string;
    /** Speaks TLS, and believes every certificate. @default false */
    readonly tls?: boolean;
  }
  | { readonly path: string };

/** What went over the wires, counted where it happens, so that the tally can be checked against it. */
export interface WireCounters {
  /** Connections that were asked for. */
  dialled: number;
  /** Connections that were established. */
  opened: number;
  /** Requests of which at least one byte was handed to the kernel. */
  requests: number;
  /** Whole responses that were parsed. */
  responses: number;
  /** Whole events of streams. */
  events: number;
  /** Requests that the client wrote although it knew that the connection had ended: always 0, or a bug of ours. */
  sentAfterClose: number;
  /** How connections ended, by description. */
  readonly endings: Map<string, number>;
}

/** A request that is under way on a connection. */
export interface Pending extends Expectation {
  /** Whether at least one byte of it was written. */
  written: boolean;
}

/** Who hears about a connection. None of these may throw: Deno prints and swallows exceptions of socket callbacks. */
export interface ConnectionListener<P extends Pending> {
  onOpen(): void;
  /** The oldest request was answered whole. */
  onResponse(pending: P, response: Response): void;
  /**
   * Bytes came after status 101. Without it they are not expected.
   *
   * @param isFirst What came with the head, perhaps nothing.
   * @throws {MalformedResponse} When they are not what was agreed upon: the connection is ended.
   */
  onUpgraded?(bytes: Uint8Array, isFirst: boolean): void;
  /**
   * The connection has ended, other than by a response that announced it, or requests were left behind by
   * such a response.
   *
   * @param unanswered The requests under way, oldest first.
   * @param partial Whether a part of the oldest one's response had arrived.
   */
  onEnd(ending: Ending, unanswered: readonly P[], partial: boolean): void;
}

/** Settings of a {@linkcode Connection}. */
export interface ConnectionOptions {
  readonly target: Target;
  readonly wire: WireCounters;
  /** A slow reader's pause after each piece that it reads, in ms; 0 is none. */
  readonly readPauseMs: number;
  /** Calls `task` after `ms`; returns what calls it off. */
  readonly later: (ms: number, task: () => void) => () => void;
}
