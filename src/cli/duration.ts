/**
 * Lengths of time: read from the command line, and written for people.
 *
 * @module
 */

import type { Arguments } from "./arguments.ts";
import { UsageError } from "./exit_codes.ts";

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

// The longest a timer can wait.
const GREATEST_MS = 2 ** 31 - 1;

/**
 * Reads an option such as `--timeout 30s`; a number without a unit is seconds.
 *
 * @param args The arguments.
 * @param name The option.
 * @param otherwiseMs What holds when it is not given.
 * @returns Milliseconds.
 * @throws {UsageError} When it is none, is zero, or longer than 24 days.
 */
export function durationOf(args: Arguments, name: string, otherwiseMs: number): number {
  const text = args.get(name);
  if (text === undefined) return otherwiseMs;
  const [, number = "", unit = "s"] = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  const ms = Math.round(Number(number) * (UNITS[unit] ?? 0));
  if (number === "" || ms < 1 || ms > GREATEST_MS) {
    throw new UsageError(
      `--${name} must be a time such as 500ms, 30s or 2m, not ${JSON.stringify(text)}`,
    );
  }
  return ms;
}

/** A length of time for people: `"350 ms"`, `"12.4 s"`, `"3 min 5 s"`, `"2 h 10 min"`, `"4 d 3 h"`. */
export function spellDuration(ms: number): string {
  if (!(ms >= 0)) return "0 ms";
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const [days, hours, minutes] = [86_400, 3600, 60].map((unit) => Math.floor(seconds / unit));
  if (days) return `${days} d ${Math.floor(seconds % 86_400 / 3600)} h`;
  if (hours) return `${hours} h ${Math.floor(seconds % 3600 / 60)} min`;
  return `${minutes} min ${seconds % 60} s`;
}
