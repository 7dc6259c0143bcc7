/**
 * How things are called in texts.
 *
 * @module
 */

import type { Generation } from "./app.ts";

/** `"Node 24.21.0"` */
export function titleOf(runtime: string, version = ""): string {
  const name = `${runtime.slice(0, 1).toUpperCase()}${runtime.slice(1)}`;
  return `${name} ${version.replace(/^v/, "")}`.trim();
}

/** `"v0.0.2 on Node 24.21.0"` */
export function whoIs({ version, runtime, runtimeVersion }: Generation): string {
  return `${version} on ${titleOf(runtime, runtimeVersion)}`;
}

/** `1234567` as `"1,234,567"`. */
export function grouped(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(?:\d{3})+$)/g, ",");
}
