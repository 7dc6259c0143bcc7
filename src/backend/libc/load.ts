/**
 * Finds the C library of this process, once, when it is first asked for.
 *
 * @module
 */

import process from "node:process";
import { messageOf, type RawResult } from "./bind.ts";
import { bindBun } from "./bun.ts";
import { bindDeno } from "./deno.ts";
import { createLibc } from "./calls.ts";
import type { Libc } from "./libc.ts";
import { bindNode } from "./node.ts";
import { type Platform, platform as describe } from "./platform.ts";

/** The C library, or why it is not to be had and what to do. */
export type LibcResult = { readonly libc: Libc } | { readonly reason: string };

let cached: LibcResult | undefined;

function bindHere(platform: Platform): RawResult {
  if ("Bun" in globalThis) return bindBun(platform);
  if ("Deno" in globalThis) return bindDeno(platform);
  return bindNode(platform);
}

function load(): LibcResult {
  const platform = describe(process.platform, process.arch);
  if (platform === undefined) {
    return { reason: `C calls are not described for ${process.platform} on ${process.arch}` };
  }
  try {
    const raw = bindHere(platform);
    return "reason" in raw ? raw : { libc: createLibc(raw.symbols, platform) };
  } catch (error) {
    return { reason: `the C library cannot be used: ${messageOf(error)}` };
  }
}

/**
 * The C library of this process. Nothing is loaded before the first call; later ones return the same.
 *
 * @returns The library, or the reason why there is none; never throws.
 *
 * @example
 * ```ts
 * const result = loadLibc();
 * if ("libc" in result) console.log(result.libc.openFds());
 * else console.error(result.reason);
 * ```
 */
export function loadLibc(): LibcResult {
  return cached ??= load();
}
