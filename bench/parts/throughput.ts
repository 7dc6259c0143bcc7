/**
 * Part `throughput`: a server that was given its socket against the same server that bound its own. Both run at the same
 * time and are asked by turns, A B B A, by one client; fresh processes for each run.
 *
 * @module
 */

import { discover, type TestRuntime } from "../../scripts/runtimes.mjs";
import { LineClient } from "../client/lines.ts";
import type { SaturateOrder, SaturateResult } from "../client/saturate.ts";
import { lookAt } from "../measure/processes.ts";
import { rounds } from "../measure/rounds.ts";
import { Chain } from "../peers/changeover.ts";
import { type PartContext, wanted } from "./part.ts";

/** One run of a pair of processes. */
export interface ThroughputRun {
  readonly nativeRps: number;
  readonly adoptedRps: number;
  /** adopted / native. */
  readonly ratio: number;
  /** CPU time of the server per request, native / adopted: more is better, too. */
  readonly cpuRatio: number;
}

interface Row {
  readonly name: string;
  readonly runtime: TestRuntime;
  readonly server: string;
  readonly tls: boolean;
}

const CONNECTIONS = 32;

/** Measures every kind of server of every runtime. */
export async function throughput(context: PartContext): Promise<void> {
  const client = new LineClient("./saturate.ts");
  try {
    await rounds({
      rows: wanted(rows(), context.rows, ({ name }) => name),
      runs: context.runs,
      untilMs: context.untilMs,
      name: ({ name }) => name,
      measure: (row) => measure(row, client, context.quick),
      log: context.log,
      keep: (all) =>
        context.keep({
          connections: CONNECTIONS,
          rows: all.map(({ row: { name }, runs, failures }) => ({
            name,
            label: name,
            failures,
            runs,
          })),
        }),
    });
  } finally {
    client.end();
  }
}

function rows(): Row[] {
  return discover().present.flatMap((runtime) => {
    const native = { deno: "Deno", bun: "Bun", node: "" }[runtime.runtime];
    const old = runtime.name === "node22" || runtime.name === "node24";
    const kinds = native === ""
      ? ["node:http", ...(old ? [] : ["node:https", "node:net", "node:tls"])]
      : [`${native}.serve`, `${native}.serve, TLS`, `${native}.listen`, "node:http", "node:net"];
    return kinds.map((server): Row => ({
      name: server.startsWith("node:") ? `${server} on ${runtime.name}` : server,
      runtime,
      server,
      tls: /TLS|https|tls/.test(server),
    }));
  });
}

async function measure(
  { runtime, server, tls }: Row,
  client: LineClient,
  quick: boolean,
): Promise<ThroughputRun> {
  const chains: Chain[] = [];
  const start = async () => {
    const chain = await Chain.start(
      { runtime, kind: "node" },
      { SERVER: server },
      "throughput.mjs",
    );
    chains.push(chain);
    return chain;
  };
  try {
    const native = await start();
    const adopted = await start();
    await adopted.flip();
    const slotMs = quick ? 150 : 400;
    // The JITs are warm then.
    for (const chain of [native, adopted]) await saturate(client, chain, tls, quick ? 100 : 300);
    const sums = { native: noTurn(), adopted: noTurn() };
    for (const which of ["native", "adopted", "adopted", "native"] as const) {
      const turn = await saturate(client, which === "native" ? native : adopted, tls, slotMs);
      for (const key of ["requests", "ms", "cpuMs"] as const) sums[which][key] += turn[key];
    }
    const rps = ({ requests, ms }: Turn) => requests / ms * 1000;
    const perRequest = ({ requests, cpuMs }: Turn) => cpuMs / requests;
    return {
      nativeRps: rps(sums.native),
      adoptedRps: rps(sums.adopted),
      ratio: rps(sums.adopted) / rps(sums.native),
      cpuRatio: perRequest(sums.native) / perRequest(sums.adopted),
    };
  } finally {
    for (const chain of chains) await chain.stop();
  }
}

interface Turn {
  requests: number;
  ms: number;
  cpuMs: number;
}

const noTurn = (): Turn => ({ requests: 0, ms: 0, cpuMs: 0 });

async function saturate(
  client: LineClient,
  { port, newest }: Chain,
  tls: boolean,
  ms: number,
): Promise<Turn> {
  const before = lookAt(newest.pid)?.cpuMs ?? NaN;
  const order: SaturateOrder = { port, tls, connections: CONNECTIONS, ms };
  client.tell(order);
  const result = await client.next(ms + 20_000) as SaturateResult | undefined;
  if (result === undefined || result.error !== undefined) {
    throw new Error(`The client failed: ${result?.error ?? "no answer"}`);
  }
  const after = lookAt(newest.pid)?.cpuMs ?? NaN;
  return { requests: result.requests, ms: result.ms, cpuMs: after - before };
}
