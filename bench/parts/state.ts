/**
 * Part `state`: how fast application state passes from the old process to the new one.
 *
 * @module
 */

import { discover } from "../../scripts/runtimes.mjs";
import { rounds } from "../measure/rounds.ts";
import { Chain } from "../peers/changeover.ts";
import { type PartContext, wanted } from "./part.ts";

/** One run. */
export interface StateRun {
  readonly bytes: number;
  readonly ms: number;
  /** Millions of bytes per second. */
  readonly megabytesPerSecond: number;
}

/** Measures every runtime, each with its own kind as successor. */
export async function state(context: PartContext): Promise<void> {
  const bytes = (context.quick ? 4 : 64) * 1024 * 1024;
  await rounds({
    rows: wanted(discover().present, context.rows, ({ name }) => name),
    runs: context.runs,
    untilMs: context.untilMs,
    name: ({ name }) => name,
    measure: async (runtime): Promise<StateRun> => {
      const chain = await Chain.start(
        { runtime, kind: "node" },
        { BYTES: String(bytes) },
        "state.mjs",
      );
      try {
        await chain.flip();
        const { received, tookMs } = chain.newest;
        if (received !== bytes) throw new Error(`${received} of ${bytes} bytes arrived`);
        const ms = tookMs as number;
        return { bytes, ms, megabytesPerSecond: bytes / 1000 / ms };
      } finally {
        await chain.stop();
      }
    },
    log: context.log,
    keep: (all) =>
      context.keep({
        bytes,
        rows: all.map(({ row: { name }, runs, failures }) => ({
          name,
          label: name,
          failures,
          runs,
        })),
      }),
  });
}
