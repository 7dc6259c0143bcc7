/**
 * When a WebSocket is closed: right behind a message of the server.
 *
 * A client that asks and waits for the answer has a message on its way at almost any moment, and nobody answers one that
 * crosses a close frame. It sends nothing while it reads an answer, so message and close frame come to it together.
 *
 * @module
 */

import type { Clock } from "../backend/backend.ts";

/** When nothing is said for so long, no answer is to be expected. */
export const QUIET_MS: number = 1_000;
/** So long a server that says nothing is waited for, also when the client goes on. */
export const LATEST_MS: number = 2_000;

/** A WebSocket whose client is to be told. */
export interface Leaving {
  /** Whether it can still be closed. */
  readonly isOpen: boolean;
  /** For how many milliseconds nothing was said; `undefined` where nobody knows. */
  quietMs(): number | undefined;
  /** Calls `then` once, right behind the next message that the server sends. */
  onNextMessage(then: () => void): void;
  /** Sends the close frame. */
  close(): void;
}

/**
 * Closes a WebSocket behind the next message that the server sends; one that is quiet at once, and none later than
 * `LATEST_MS`, or half of the time that is left.
 *
 * @param timeLeftMs Until the connection is cut.
 */
export function closeBehindMessage(
  leaving: Leaving,
  clock: Clock,
  timeLeftMs: number,
): void {
  const began = clock.now();
  const latestMs = Math.min(LATEST_MS, timeLeftMs / 2);
  let isWaiting = false;
  let isDone = false;
  const close = () => {
    if (isDone || !leaving.isOpen) return;
    isDone = true;
    leaving.close();
  };
  const look = () => {
    if (isDone || !leaving.isOpen) return;
    const waited = clock.now() - began;
    const waitMs = Math.min(QUIET_MS - (leaving.quietMs() ?? waited), latestMs - waited);
    if (waitMs <= 0) return close();
    if (!isWaiting) leaving.onNextMessage(close);
    isWaiting = true;
    clock.after(waitMs, look);
  };
  look();
}

/** For how long a number has not changed, as far as it was looked at. */
export function unchangedMs(clock: Clock, read: () => number): () => number {
  let seen = read();
  let since = clock.now();
  return () => {
    const now = read();
    if (now !== seen) {
      seen = now;
      since = clock.now();
    }
    return clock.now() - since;
  };
}
