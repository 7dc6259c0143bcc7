/**
 * Numbers and tables as Markdown. Pure.
 *
 * @module
 */

import type { Spread } from "../measure/statistics.ts";

/** About three digits; "–" for what is not known. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1000) return String(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1).replace(/\.0$/, "");
  return size >= 0.1 ? value.toFixed(2) : value.toPrecision(2);
}

/** A ratio: always two digits behind the point. */
export function ratio(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : "–";
}

/** "12 (9 to 15)"; without the spread when there was one value only. */
export function withSpread(
  { n, median, min, max }: Spread,
  format: (value: number) => string = short,
): string {
  if (n === 0) return "–";
  return n === 1 ? format(median) : `${format(median)} (${format(min)} to ${format(max)})`;
}

/** A table; the first column is text, the others are numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const rule = line(head.map((_, index) => index === 0 ? "---" : "--:"));
  return [line(head), rule, ...rows.map(line)].join("\n");
}

/** Replaces what stands between two markers, which stay. */
export function between(text: string, begin: string, end: string, inner: string): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end, from);
  if (from === -1 || to === -1) {
    throw new Error(`Cannot write into the page: "${begin}" or "${end}" is missing`);
  }
  return `${text.slice(0, from + begin.length)}\n${inner}\n${text.slice(to)}`;
}
