/**
 * Connections that nobody tells are looked for, again and again, until none is left.
 *
 * @module
 */

import type { Clock } from "../backend/backend.ts";

const INTERVAL_MS = 50;

/** The drain that looks. */
export interface Looking {
  readonly clock: Clock;
  /** Until then a connection may turn up that was accepted before the listener was closed. */
  readonly settled: Promise<void>;
  /** Whether the drain came to an end meanwhile, or to nothing. */
  readonly isEnded: () => boolean;
}

/** Resolves after `ms` milliseconds; never when the clock's timers are ended before. */
export function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve));
}

/**
 * Looks until none is left.
 *
 * @param look Looks once, and tells how many are left.
 * @returns Whether none is left; `false` when the drain ended before.
 */
export async function lookUntilNone(
  look: () => Promise<number>,
  { clock, settled, isEnded }: Looking,
): Promise<boolean> {
  let isSettled = false;
  settled.then(() => isSettled = true);
  for (;;) {
    const isLast = isSettled;
    const left = await look();
    if (isEnded()) return false;
    if (left === 0 && isLast) return true;
    await (left === 0 ? settled : pause(clock, INTERVAL_MS));
    if (isEnded()) return false;
  }
}
