/**
 * How long to wait before a service that has failed is started again.
 *
 * @module
 */

/** The first pause. */
export const FIRST_PAUSE_MS = 100;
/** The longest. */
export const LONGEST_PAUSE_MS = 30_000;
/** A service that has run so long has not failed because of how it was started. */
export const SETTLED_MS = 10_000;

/** Twice as long after each failure. */
export class Backoff {
  #failures = 0;

  /**
   * The service has failed.
   *
   * @param ranMs How long it had run.
   * @returns How long to wait.
   */
  failed(ranMs: number): number {
    if (ranMs >= SETTLED_MS) this.#failures = 0;
    // Not further: 2 ** 1024 is no number.
    const doubled = FIRST_PAUSE_MS * 2 ** Math.min(this.#failures, 20);
    this.#failures += 1;
    return Math.min(doubled, LONGEST_PAUSE_MS);
  }
}
