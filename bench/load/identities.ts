/**
 * Who answered: counts and a timeline per identity, and whether the versions ever went back.
 *
 * @module
 */

/** Answers of one identity; times in ms since the load began. */
export interface IdentityReport {
  readonly identity: string;
  readonly answers: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Answers of an older identity on connections that were dialled after a newer one had answered. */
export interface WentBack {
  readonly count: number;
  /**
   * The longest time in ms from the newer identity's first answer to the dialling of a connection that an older one
   * answered. A few ms are the overlap between ready and commit, in which both processes accept.
   */
  readonly maxLagMs: number;
}

/** What the newest identity was when a connection was dialled. */
export interface Birth {
  readonly newest: number;
  readonly atMs: number;
}

/** A server that answers with a counter would otherwise fill the memory. */
const MAX_IDENTITIES = 10_000;
const OTHERS = "(others)";

interface Entry {
  readonly identity: string;
  readonly firstMs: number;
  lastMs: number;
  answers: number;
}

/** Records identities in the order in which they were first seen. */
export class Identities {
  readonly #entries: Entry[] = [];
  readonly #indices: Map<string, number> = new Map();
  #backCount = 0;
  #backLagMs = 0;

  /** To be kept by a connection that is dialled now. */
  birth(atMs: number): Birth {
    return { newest: this.#entries.length - 1, atMs };
  }

  /**
   * Records an answer.
   *
   * @param identity `undefined` when the response does not say: only counted, it has no place in the order.
   */
  record(identity: string | undefined, birth: Birth, nowMs: number): void {
    const index = this.#indexOf(identity ?? "(unknown)", nowMs);
    const entry = this.#entries[index]!;
    entry.answers++;
    entry.lastMs = nowMs;
    if (identity === undefined || index >= birth.newest) return;
    this.#backCount++;
    this.#backLagMs = Math.max(this.#backLagMs, birth.atMs - this.#entries[birth.newest]!.firstMs);
  }

  /** All identities, in the order in which they were first seen. */
  report(): IdentityReport[] {
    return this.#entries.map(({ identity, answers, firstMs, lastMs }) => ({
      identity,
      answers,
      firstMs: round(firstMs),
      lastMs: round(lastMs),
    }));
  }

  /** Whether versions went back. */
  wentBack(): WentBack {
    return { count: this.#backCount, maxLagMs: round(this.#backLagMs) };
  }

  #indexOf(identity: string, nowMs: number): number {
    const known = this.#indices.get(identity);
    if (known !== undefined) return known;
    if (this.#entries.length >= MAX_IDENTITIES && identity !== OTHERS) {
      return this.#indexOf(OTHERS, nowMs);
    }
    const index = this.#entries.length;
    this.#entries.push({ identity, firstMs: nowMs, lastMs: nowMs, answers: 0 });
    this.#indices.set(identity, index);
    return index;
  }
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
