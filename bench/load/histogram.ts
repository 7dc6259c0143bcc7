/**
 * A latency histogram of fixed size: logarithmic buckets, about 3 % wide.
 *
 * @module
 */

/** Buckets per power of two: the relative error is at most 1/32. */
const STEPS = 32;
const STEP_BITS = 5;
/** 2^36 microseconds are 19 hours. */
const MAX_BITS = 36;
const MAX_US = 2 ** MAX_BITS - 1;

/** Percentiles in milliseconds; all zero when there is no value. */
export interface Latency {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Exact, not rounded to a bucket. */
  readonly max: number;
}

/** Counts durations in about 1,000 buckets, whatever their number. */
export class Histogram {
  readonly #buckets: Float64Array = new Float64Array((MAX_BITS - STEP_BITS + 1) * STEPS);
  #count = 0;
  #maxMs = 0;

  /** How many durations were added. */
  get count(): number {
    return this.#count;
  }

  /** Adds a duration in milliseconds; negative ones count as zero. */
  add(ms: number): void {
    const us = Math.min(MAX_US, Math.max(0, Math.round(ms * 1000)));
    const bucket = bucketOf(us);
    this.#buckets[bucket] = this.#buckets[bucket]! + 1;
    this.#count++;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  /**
   * The duration that a share of all durations does not exceed, in milliseconds.
   *
   * @param share Between 0 and 1: 0.99 for p99.
   */
  percentile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let bucket = 0; bucket < this.#buckets.length; bucket++) {
      seen += this.#buckets[bucket]!;
      if (seen >= rank) return Math.min(this.#maxMs, upperUs(bucket) / 1000);
    }
    return 0;
  }

  /** The usual percentiles. */
  summary(): Latency {
    return {
      count: this.#count,
      p50: this.percentile(0.5),
      p99: this.percentile(0.99),
      p999: this.percentile(0.999),
      max: Math.round(this.#maxMs * 1000) / 1000,
    };
  }
}

// Below 32 us each microsecond has its own bucket; above, each power of two has 32.
function bucketOf(us: number): number {
  if (us < STEPS) return us;
  const power = Math.floor(Math.log2(us));
  const step = Math.floor(us / 2 ** (power - STEP_BITS)) - STEPS;
  return (power - STEP_BITS + 1) * STEPS + step;
}

function upperUs(bucket: number): number {
  if (bucket < STEPS) return bucket;
  const power = Math.floor(bucket / STEPS) + STEP_BITS - 1;
  const step = bucket % STEPS;
  return (STEPS + step + 1) * 2 ** (power - STEP_BITS) - 1;
}
