/**
 * From prototypes to callable functions: what the three binders have in common.
 *
 * @module
 */

import type { Platform, Prototype, Symbols } from "./platform.ts";

/** The outcome of loading the C library. */
export type RawResult =
  | { readonly symbols: Symbols }
  /** Why it is not to be had and what to do. */
  | { readonly reason: string };

/** A function of a runtime's FFI; takes and returns what that runtime uses for C values. */
// deno-lint-ignore no-explicit-any
export type RawFunction = (...args: any[]) => any;

/**
 * Collects the symbols of a platform.
 *
 * @param platform Describes this machine.
 * @param load Loads one function.
 * @returns All of them; one that the platform does not have throws when it is called.
 * @throws Whatever `load` throws.
 */
export function collect(
  platform: Platform,
  load: (prototype: Prototype) => (...args: never[]) => number,
): Symbols {
  const symbols: Record<string, unknown> = {};
  for (const [name, prototype] of Object.entries(platform.prototypes)) {
    symbols[name] = prototype === undefined
      ? () => {
        throw new Error(`Cannot call "${name}": it does not exist on ${platform.os}`);
      }
      : load(prototype);
  }
  return symbols as unknown as Symbols;
}

/**
 * Makes a function return a number where the runtime returns a bigint for 64 bits.
 *
 * Sizes and user-space addresses are below 2^53 on all supported machines.
 *
 * @param call The runtime's function.
 * @param prototype Its prototype.
 * @returns A function that returns a number.
 */
export function returnNumber(call: RawFunction, prototype: Prototype): RawFunction {
  return prototype.result === "int" ? call : (...args) => Number(call(...args));
}

/**
 * The text of whatever was thrown.
 *
 * @param error Anything.
 * @returns Its message.
 */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
