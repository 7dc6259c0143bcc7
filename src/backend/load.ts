/**
 * Chooses the backend, once. Literal dynamic imports, because JSR has no conditional exports.
 *
 * @module
 */

import process from "node:process";
import type { Backend } from "./backend.ts";

/**
 * The backend of this process.
 *
 * @throws {UpgradeError} `ERR_UNSUPPORTED` where upgrades cannot work; the message says what to do instead.
 */
export async function loadBackend(): Promise<Backend> {
  const unsupported = await import("./unsupported.ts");
  await unsupported.check(process.platform);
  if ("Bun" in globalThis) return (await import("./bun.ts")).createBackend();
  if ("Deno" in globalThis) return (await import("./deno.ts")).createBackend();
  return (await import("./node.ts")).createBackend();
}
