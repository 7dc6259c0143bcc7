/**
 * The statistics of the benchmark: medians with their spread, ratios of neighbours, slopes. Pure.
 *
 * @module
 */

/** A median and how far the values lay from each other. */
export interface Spread {
  /** How many values. */
  readonly n: number;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** A straight line through points. */
export interface Line {
  readonly slope: number;
  readonly intercept: number;
  /** Share of the variance that the line explains; 1 is a perfect line. */
  readonly r2: number;
}

/** The middle value, or the mean of the two in the middle; NaN of nothing. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Median, least and greatest of the values that are numbers. */
export function spread(values: readonly (number | null | undefined)[]): Spread {
  const numbers = values.filter((value): value is number => Number.isFinite(value));
  return {
    n: numbers.length,
    median: median(numbers),
    min: numbers.length === 0 ? NaN : Math.min(...numbers),
    max: numbers.length === 0 ? NaN : Math.max(...numbers),
  };
}

/**
 * The ratios of pairs that were measured one right after the other, so that whatever else the machine did hit both
 * alike: better than the ratio of two medians.
 *
 * @throws {RangeError} When the lists differ in length.
 */
export function ratios(above: readonly number[], below: readonly number[]): number[] {
  if (above.length !== below.length) {
    throw new RangeError(`Cannot pair ${above.length} values with ${below.length}`);
  }
  return above.map((value, index) => value / below[index]!);
}

/**
 * Least squares.
 *
 * @throws {RangeError} With less than two different x.
 */
export function line(points: readonly (readonly [x: number, y: number])[]): Line {
  const n = points.length;
  const mean = (index: 0 | 1) => points.reduce((sum, point) => sum + point[index], 0) / n;
  const [meanX, meanY] = [mean(0), mean(1)];
  let [xx, xy, yy] = [0, 0, 0];
  for (const [x, y] of points) {
    xx += (x - meanX) ** 2;
    xy += (x - meanX) * (y - meanY);
    yy += (y - meanY) ** 2;
  }
  if (!(xx > 0)) throw new RangeError("Cannot fit a line: it needs two different x");
  const slope = xy / xx;
  return { slope, intercept: meanY - slope * meanX, r2: yy === 0 ? 1 : (xy * xy) / (xx * yy) };
}

/** Losses per 100,000 requests. */
export function perHundredThousand(lost: number, sent: number): number {
  return sent === 0 ? NaN : lost * 100_000 / sent;
}

/** The order of a round: forwards and backwards by turns, A B B A, so that a drift of the machine favours nobody. */
export function inTurn<T>(items: readonly T[], round: number): T[] {
  return round % 2 === 0 ? [...items] : items.toReversed();
}
