/**
 * Part `idle`: the drain of ten thousand idle connections.
 *
 * @module
 */

import type { IdleReport } from "../client/idle.ts";
import { LineClient } from "../client/lines.ts";
import { signal } from "../measure/processes.ts";
import { rounds } from "../measure/rounds.ts";
import { Chain, type Variant, variants } from "../peers/changeover.ts";
import { type PartContext, wanted } from "./part.ts";

/** One run. */
export interface IdleRun extends IdleReport {
  /** From the beginning of the drain to its end, the grace included. */
  readonly drainMs: number;
  /** The longest stop of the old process's event loop in the drain, and while it served before. */
  readonly longestStopMs: number;
  readonly servingStopMs: number;
  readonly cut: number;
}

const IDLE_GRACE_MS = 1000;
const OPEN_LIMIT_MS = 30_000;
const END_LIMIT_MS = 20_000;

/** Measures the newest Node, Deno and Bun. */
export async function idle(context: PartContext): Promise<void> {
  const connections = context.quick ? 500 : 10_000;
  const rows = variants().filter(({ name }) => name !== "node22" && name !== "node24");
  await rounds({
    rows: wanted(rows, context.rows, ({ name }) => name),
    runs: context.runs,
    untilMs: context.untilMs,
    name: ({ name }) => name,
    measure: (variant) => measure(variant, connections),
    log: context.log,
    keep: (all) =>
      context.keep({
        connections,
        idleGraceMs: IDLE_GRACE_MS,
        rows: all.map(({ row: { name, label }, runs, failures }) => ({
          name,
          label,
          failures,
          runs,
        })),
      }),
  });
}

async function measure(variant: Variant, connections: number): Promise<IdleRun> {
  const chain = await Chain.start(variant, {
    WATCH_LOOP: "1",
    IDLE_GRACE_MS: String(IDLE_GRACE_MS),
  });
  let client: LineClient | undefined;
  try {
    client = new LineClient("./idle.ts", [String(chain.port), String(connections)]);
    const opened = await client.next(OPEN_LIMIT_MS);
    if ((opened as { open?: number } | undefined)?.open !== connections) {
      throw new Error(`Not all of ${connections} connections could be opened`);
    }
    signal(chain.newest.pid, "SIGUSR2");
    const serving = await chain.program.heard(
      "servingStopMs",
      ({ servingStopMs }) => servingStopMs !== undefined,
    );
    await chain.flip();
    let report = await client.next(END_LIMIT_MS);
    if (report === undefined) {
      client.tell("stop");
      report = await client.next(END_LIMIT_MS);
    }
    if (report === undefined) throw new Error("The client gives no account");
    const drained = await chain.program.heard("drained", ({ drained }) => drained !== undefined);
    const { durationMs, cut } = drained["drained"] as { durationMs: number; cut: number };
    return {
      ...(report as IdleReport),
      drainMs: durationMs,
      longestStopMs: drained["longestStopMs"] as number,
      servingStopMs: serving["servingStopMs"] as number,
      cut,
    };
  } finally {
    client?.end();
    await chain.stop();
  }
}
