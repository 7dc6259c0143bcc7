/**
 * The raw binding on Bun: `bun:ffi`.
 *
 * @module
 */

import process from "node:process";
import { collect, messageOf, type RawFunction, type RawResult, returnNumber } from "./bind.ts";
import type { CType, Platform } from "./platform.ts";

/** The part of `bun:ffi` that is used; see https://bun.com/docs/runtime/ffi. */
interface BunFfi {
  dlopen(
    path: string,
    symbols: Record<string, { args: readonly string[]; returns: string }>,
  ): { readonly symbols: Record<string, RawFunction> };
}

const types: Readonly<Record<CType, string>> = {
  int: "i32",
  size: "u64",
  ssize: "i64",
  address: "u64",
  buffer: "ptr",
};

/**
 * Loads the C library on Bun.
 *
 * @param platform Describes this machine.
 * @returns The functions, or why there are none.
 */
export function bindBun(platform: Platform): RawResult {
  // Not an import: bundlers, tsc and Deno do not know the name, and it must stay synchronous.
  const ffi = process.getBuiltinModule("bun:ffi") as BunFfi | undefined;
  if (ffi === undefined) return { reason: "bun:ffi is missing: use Bun 1.2 or newer" };
  const wanted: Record<string, { args: readonly string[]; returns: string }> = {};
  for (const prototype of Object.values(platform.prototypes)) {
    if (prototype === undefined) continue;
    wanted[prototype.symbol] = {
      args: prototype.parameters.map((type) => types[type]),
      returns: types[prototype.result],
    };
  }
  let reason = "";
  for (const path of platform.libraries) {
    try {
      const library = ffi.dlopen(path, wanted);
      return {
        symbols: collect(platform, (prototype) => {
          return returnNumber(library.symbols[prototype.symbol] as RawFunction, prototype);
        }),
      };
    } catch (error) {
      reason ||= messageOf(error);
    }
  }
  return { reason: `the C library cannot be loaded: ${reason}` };
}
