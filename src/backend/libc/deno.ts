/**
 * The raw binding on Deno: `Deno.dlopen`.
 *
 * @module
 */

import { collect, messageOf, type RawFunction, type RawResult, returnNumber } from "./bind.ts";
import type { CType, Platform } from "./platform.ts";

/** The part of Deno that is used; see https://docs.deno.com/runtime/fundamentals/ffi/. */
interface DenoFfi {
  dlopen(
    path: string,
    symbols: Record<string, { parameters: readonly string[]; result: string }>,
  ): { readonly symbols: Record<string, RawFunction>; close(): void };
  readonly permissions: {
    querySync(descriptor: { name: "ffi"; path?: string }): { readonly state: string };
  };
}

/** Plain calls only: `nonblocking: true` would run them on another thread, with another `errno`. */
const types: Readonly<Record<CType, string>> = {
  int: "i32",
  size: "usize",
  ssize: "isize",
  address: "usize",
  buffer: "buffer",
};

/**
 * Loads the C library on Deno. Never asks the user: a prompt would stop the server.
 *
 * @param platform Describes this machine.
 * @returns The functions, or why there are none.
 */
export function bindDeno(platform: Platform): RawResult {
  const deno = (globalThis as unknown as { readonly Deno: DenoFfi }).Deno;
  // `--allow-ffi` grants every name, `--allow-ffi=/path/libc.so.6` only that one.
  const allowed = platform.libraries
    .filter((path) => deno.permissions.querySync({ name: "ffi", path }).state === "granted");
  if (allowed.length === 0) {
    return { reason: "--allow-ffi is missing: start Deno with --allow-ffi" };
  }
  const wanted: Record<string, { parameters: readonly string[]; result: string }> = {};
  for (const prototype of Object.values(platform.prototypes)) {
    if (prototype === undefined) continue;
    wanted[prototype.symbol] = {
      parameters: prototype.parameters.map((type) => types[type]),
      result: types[prototype.result],
    };
  }
  let reason = "";
  for (const path of allowed) {
    try {
      const library = deno.dlopen(path, wanted);
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
