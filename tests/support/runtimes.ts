/**
 * The runtimes that tests start as fixtures, and which of them runs this very test.
 *
 * @module
 */

import process from "node:process";
import { test } from "node:test";
import {
  describe,
  discover,
  type MissingRuntime,
  type TestRuntime,
} from "../../scripts/runtimes.mjs";

export type { MissingRuntime, TestRuntime };

const found = discover();

/** The runtimes that are here, in the order Node 22, 24, 26, Deno, Bun. */
export const runtimes: readonly TestRuntime[] = found.present;

/** The runtimes that are not here, and why. */
export const missing: readonly MissingRuntime[] = found.missing;

/** The runtime that runs this test: one of {@linkcode runtimes}, or the stranger somebody started it with. */
export function current(): TestRuntime {
  const name = currentName();
  return runtimes.find((runtime) => runtime.name === name) ??
    describe(name, name === "deno" || name === "bun" ? name : "node", process.execPath);
}

/** A parent and the child that replaces it. */
export interface Pair {
  readonly parent: TestRuntime;
  readonly child: TestRuntime;
  /** For titles: `"deno -> node24"`. */
  readonly title: string;
}

/**
 * The pairs whose parent is {@linkcode current}. Every runner runs the suite, so that one `npm test` covers each
 * pair exactly once.
 */
export function pairs(): readonly Pair[] {
  const parent = current();
  return runtimes.map((child) => ({ parent, child, title: `${parent.name} -> ${child.name}` }));
}

/**
 * Registers one test for each of {@linkcode pairs}, and a skipped one for each runtime that is missing.
 *
 * @param title What holds for every pair.
 * @param run The test.
 * @param options `timeoutMs` for each pair; default 60000.
 */
export function testPairs(
  title: string,
  run: (pair: Pair) => Promise<void>,
  options: { readonly timeoutMs?: number } = {},
): void {
  for (const pair of pairs()) {
    test(`${title} (${pair.title})`, { timeout: options.timeoutMs ?? 60_000 }, () => run(pair));
  }
  for (const { name, why } of missing) {
    test(`${title} (${current().name} -> ${name})`, { skip: why }, () => {});
  }
}

// Deno and Bun also say which Node they are compatible with, so they are asked first.
function currentName(): string {
  const versions: Readonly<Record<string, string | undefined>> = process.versions;
  if (versions["deno"] !== undefined) return "deno";
  if (versions["bun"] !== undefined) return "bun";
  return `node${process.versions.node.split(".")[0]}`;
}
