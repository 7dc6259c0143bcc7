/**
 * Worlds that were reached, each remembered by 53 bits: eight bytes instead of an object.
 *
 * Of a million worlds two are confused once in 18,000 explorations, of ten million once in 180.
 *
 * @module
 */

/** A set of hashes. */
export class Known {
  // Open addressing: a place holds 0 or a hash, which lies there or behind it.
  #places = new Float64Array(1 << 16);
  #size = 0;

  /** How many there are. */
  get size(): number {
    return this.#size;
  }

  /** Remembers one. @returns Whether it is new. */
  add(hash: number): boolean {
    if (!put(this.#places, hash)) return false;
    if (++this.#size * 2 > this.#places.length) {
      const more = new Float64Array(this.#places.length * 2);
      for (const value of this.#places) if (value !== 0) put(more, value);
      this.#places = more;
    }
    return true;
  }
}

function put(places: Float64Array, value: number): boolean {
  const last = places.length - 1;
  let at = value & last;
  for (; places[at] !== 0; at = at + 1 & last) if (places[at] === value) return false;
  places[at] = value;
  return true;
}

/** 53 bits of a text or of numbers up to 2 ** 53 (cyrb53), never 0. */
export function hash(input: string | readonly number[]): number {
  let one = 0xdeadbeef;
  let two = 0x41c6ce57;
  for (let at = 0; at < input.length; at++) {
    const code = typeof input === "string" ? input.charCodeAt(at) : input[at] as number;
    one = Math.imul(one ^ code, 2654435761);
    two = Math.imul(two ^ code, 1597334677);
    if (typeof input === "string") continue;
    one = Math.imul(one ^ code / 4294967296, 2654435761);
    two = Math.imul(two ^ code / 4294967296, 1597334677);
    // Without it the upper bits of one number would only meet the upper bits of the next.
    one ^= one >>> 15;
    two ^= two >>> 13;
  }
  one = Math.imul(one ^ (one >>> 16), 2246822507) ^ Math.imul(two ^ (two >>> 13), 3266489909);
  two = Math.imul(two ^ (two >>> 16), 2246822507) ^ Math.imul(one ^ (one >>> 13), 3266489909);
  return 4294967296 * (2097151 & two) + (one >>> 0) || 1;
}
