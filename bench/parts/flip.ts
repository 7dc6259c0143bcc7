/**
 * Part `flip`: who answers while one process replaces another, in slices of 100 ms; what the picture in README is drawn
 * from.
 *
 * @module
 */

import { setTimeout as sleep } from "node:timers/promises";
import { BenchClient } from "../client/client.ts";
import { rounds } from "../measure/rounds.ts";
import { Chain, type Variant, variants } from "../peers/changeover.ts";
import { CLIENTS, THINK_MS, TIMEOUT_MS } from "./peers.ts";
import { type PartContext, wanted } from "./part.ts";

/** One flip. */
export interface FlipRun {
  /** Ms from asking for the replacement to the begin of the first slice; negative. */
  readonly beginsMs: number;
  readonly sliceMs: number;
  /** Answers per slice by generation, the older one first. */
  readonly answers: readonly (readonly number[])[];
  readonly sent: number;
  readonly lost: number;
  readonly consistent: boolean;
  /** From asking to the first answer of the new process. */
  readonly firstAnswerMs: number;
}

/** More runs make no better picture. */
const MOST_RUNS = 3;

/** Measures flips of every kind of server. */
export async function flip(context: PartContext): Promise<void> {
  const client = new BenchClient();
  try {
    await rounds({
      rows: wanted(variants(), context.rows, ({ name }) => name),
      runs: Math.min(context.runs, MOST_RUNS),
      untilMs: context.untilMs,
      name: ({ name }) => name,
      measure: (variant) => measure(variant, client, context.quick),
      log: context.log,
      keep: (all) =>
        context.keep({
          clients: { ...CLIENTS, webSocket: 0 },
          thinkMs: THINK_MS,
          rows: all.map(({ row: { name, label }, runs, failures }) => ({
            name,
            label,
            failures,
            runs,
          })),
        }),
    });
  } finally {
    client.end();
  }
}

async function measure(variant: Variant, client: BenchClient, quick: boolean): Promise<FlipRun> {
  const chain = await Chain.start(variant);
  try {
    const old = String(chain.newest.pid);
    await client.start({
      load: {
        target: { port: chain.port, hostname: "127.0.0.1" },
        keepAlive: CLIENTS.keepAlive,
        oneShot: CLIENTS.oneShot,
        post: CLIENTS.post,
        thinkMs: THINK_MS,
        timeoutMs: TIMEOUT_MS,
        maxMs: 60_000,
      },
    });
    let asked = NaN;
    let failure: unknown;
    try {
      await sleep(quick ? 400 : 1000);
      asked = performance.timeOrigin + performance.now();
      await chain.flip();
      await sleep(quick ? 1200 : 1800);
    } catch (error) {
      failure = error;
    }
    const { http, timeline } = await client.stop();
    if (failure !== undefined) throw failure;
    const young = String(chain.newest.pid);
    const { answers, firstAt } = timeline;
    return {
      beginsMs: timeline.beginsAt - asked,
      sliceMs: timeline.sliceMs,
      answers: [answers[old] ?? [], answers[young] ?? []],
      sent: http.sent + (http.prober?.sent ?? 0),
      lost: http.lost + (http.prober?.lost ?? 0),
      consistent: http.consistent,
      firstAnswerMs: (firstAt[young] ?? NaN) - asked,
    };
  } finally {
    await chain.stop();
  }
}
