/**
 * Part `sockets`: how the time of an upgrade grows with the number of sockets.
 *
 * @module
 */

import type { UpgradeReport } from "../../mod.ts";
import { rounds } from "../measure/rounds.ts";
import { Chain, type Variant, variants } from "../peers/changeover.ts";
import { type PartContext, wanted } from "./part.ts";

/** One run: the time of an upgrade, in ms, with each number of sockets. */
export type SocketsRun = readonly { readonly sockets: number; readonly upgradeMs: number }[];

/** Measures `node:net` on the newest Node, Deno and Bun, and the native servers. */
export async function sockets(context: PartContext): Promise<void> {
  const counts = context.quick ? [1, 10, 100] : [1, 10, 100, 1000];
  const rows = variants()
    .filter(({ name }) => name !== "node22" && name !== "node24")
    .map((variant) => ({
      ...variant,
      label: variant.kind === "native"
        ? variant.label
        : `node:net, ${variant.label.replace("node:http on ", "")}`,
    }));
  await rounds({
    rows: wanted(rows, context.rows, ({ name }) => name),
    runs: context.runs,
    untilMs: context.untilMs,
    name: ({ name }) => name,
    measure: (variant) => measure(variant, counts),
    log: context.log,
    keep: (all) =>
      context.keep({
        counts,
        rows: all.map(({ row: { name, label }, runs, failures }) => ({
          name,
          label,
          failures,
          runs,
        })),
      }),
  });
}

async function measure(variant: Variant, counts: readonly number[]): Promise<SocketsRun> {
  const run: { sockets: number; upgradeMs: number }[] = [];
  for (const count of counts) {
    const chain = await Chain.start(variant, { COUNT: String(count) }, "sockets.mjs");
    try {
      await chain.flip();
      const said = await chain.program.heard("upgraded", ({ upgraded }) => upgraded !== undefined);
      run.push({ sockets: count, upgradeMs: (said["upgraded"] as UpgradeReport).durationMs });
    } finally {
      await chain.stop();
    }
  }
  return run;
}
