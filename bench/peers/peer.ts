/**
 * What the benchmark needs of whatever it compares: a service that can be replaced while it runs.
 *
 * @module
 */

/** One way to replace a running server, as its own documentation has it. */
export interface Peer {
  /** Short and stable: the key in results. */
  readonly name: string;
  /** For people. */
  readonly label: string;
  /** Whether it is this library. */
  readonly ours: boolean;
  /** What is done to replace the server, in one sentence. */
  readonly practice: string;
  /** Where that practice is documented. */
  readonly source: string;
  /** Whether its server speaks WebSocket. */
  readonly webSockets: boolean;
  /** Why it cannot be measured here; `undefined` when it can. */
  readonly missing?: () => string | undefined;
  /** Starts the service. */
  readonly start: () => Promise<Service>;
}

/** A running service. */
export interface Service {
  readonly port: number;
  /** The sessions (setsid(2)) of all its processes. */
  readonly sessions: ReadonlySet<number>;
  /** Replaces the server. Resolves when the new one serves; the old one may still be leaving. */
  flip(): Promise<void>;
  /** Ends it, and waits until nothing of it is left. */
  stop(): Promise<void>;
}

/**
 * After how many ms the official graceful stops cut what is still open. Longer does not help them: a connection that is
 * in use all the time is not closed by them at all, and then every one of them is cut in the end.
 */
export const STOP_MS = 1500;
