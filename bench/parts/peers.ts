/**
 * Part `peers`: the same client and the same handler against every way to replace a server. Each run first saturates the
 * server and flips it (what is lost?), then paces the clients and flips it again (how long do requests take, what does a
 * flip cost?).
 *
 * @module
 */

import { setTimeout as sleep } from "node:timers/promises";
import { BenchClient } from "../client/client.ts";
import type { ClientReport } from "../client/protocol.ts";
import type { PopulationReport } from "../load/account.ts";
import type { WindowReport } from "../load/windows.ts";
import { rounds } from "../measure/rounds.ts";
import { cpuIn, memoryPeak, type Sample, Sampler, type Stretch } from "../measure/sampler.ts";
import { catalog } from "../peers/catalog.ts";
import { type Peer, type Service, STOP_MS } from "../peers/peer.ts";
import { type PartContext, wanted } from "./part.ts";

/** Clients of each population. */
export const CLIENTS = { keepAlive: 24, oneShot: 8, post: 8, webSocket: 8 } as const;
/** Pause of the paced clients, in ms. */
export const THINK_MS = 20;
/** A request without an answer by then is lost. */
export const TIMEOUT_MS = 5000;

/** How much is lost and answered; WebSocket messages count like requests. */
export interface Counts {
  readonly sent: number;
  readonly lost: number;
}

/** What one phase gave. */
export interface PhaseResult {
  readonly flips: number;
  readonly populations: Readonly<Record<string, Counts>>;
  readonly lossKinds: Readonly<Record<string, number>>;
  readonly windows: readonly WindowReport[];
  readonly webSocketWindows: readonly WindowReport[];
  readonly rps: number;
  readonly consistent: boolean;
  /** From asking for the flip to the first answer of the new process. */
  readonly firstAnswerMs: readonly number[];
}

/** One run of one peer. */
export interface PeerRun {
  readonly saturated: PhaseResult;
  readonly paced: PhaseResult;
  /** Memory of all processes, in MiB. */
  readonly memory: { readonly steadyMiB: number; readonly peakMiB: number };
  /** CPU time beyond that of steady service in the 1.5 s after asking, per flip. */
  readonly flipCpuMs: number;
}

interface Timing {
  readonly warmMs: number;
  /** Before each flip. */
  readonly steadyMs: number;
  /** From one flip's begin to what comes next. */
  readonly flipMs: number;
  readonly flips: number;
}

/** What is called "around a flip". */
const FLIP_WINDOW_MS = 1000;
const COST_WINDOW_MS = 1500;
/** After the last flip, so that what the old process cuts at the end of its time is counted. */
const AFTER_MS = STOP_MS + 200;

/** Measures all peers that are here. */
export async function peers(context: PartContext): Promise<void> {
  const { quick, log } = context;
  const flips = quick ? 1 : 2;
  const timings = {
    saturated: { warmMs: quick ? 200 : 400, steadyMs: 400, flipMs: 1200, flips },
    paced: { warmMs: quick ? 200 : 500, steadyMs: 500, flipMs: COST_WINDOW_MS, flips },
  };
  const chosen = wanted(catalog(), context.rows, ({ name }) => name);
  const skipped: Record<string, string> = {};
  const present = chosen.filter(({ name, missing }) => {
    const why = missing?.();
    if (why === undefined) return true;
    skipped[name] = why;
    log(`skipped ${name}: ${why}`);
    return false;
  });
  const client = new BenchClient();
  try {
    await rounds({
      rows: present,
      runs: context.runs,
      untilMs: context.untilMs,
      name: ({ name }) => name,
      measure: (peer) => measure(peer, client, timings),
      log,
      keep: (all) =>
        context.keep({
          clients: CLIENTS,
          thinkMs: THINK_MS,
          timeoutMs: TIMEOUT_MS,
          flipsPerPhase: flips,
          skipped,
          rows: all.map(({ row, runs, failures }) => ({
            name: row.name,
            label: row.label,
            ours: row.ours,
            practice: row.practice,
            source: row.source,
            failures,
            runs,
          })),
        }),
    });
  } finally {
    client.end();
  }
}

async function measure(
  peer: Peer,
  client: BenchClient,
  timings: { readonly saturated: Timing; readonly paced: Timing },
): Promise<PeerRun> {
  const service = await peer.start();
  try {
    const saturated = await phase(peer, service, client, timings.saturated, 0);
    const sampler = new Sampler(service.sessions);
    try {
      const stretches: Stretch[] = [];
      const paced = await phase(peer, service, client, timings.paced, THINK_MS, stretches);
      sampler.look();
      return { saturated, paced, ...costs(sampler.samples, stretches) };
    } finally {
      sampler.stop();
    }
  } finally {
    await service.stop();
  }
}

async function phase(
  { webSockets }: Peer,
  service: Service,
  client: BenchClient,
  { warmMs, steadyMs, flipMs, flips }: Timing,
  thinkMs: number,
  stretches: Stretch[] = [],
): Promise<PhaseResult> {
  const { port } = service;
  const { keepAlive, oneShot, post, webSocket } = CLIENTS;
  const load = {
    target: { port, hostname: "127.0.0.1" },
    thinkMs,
    timeoutMs: TIMEOUT_MS,
    maxMs: 120_000,
    label: "warm-up",
  };
  await client.start({
    load: { ...load, keepAlive, oneShot, post },
    ...(webSockets ? { webSockets: { ...load, webSocket, proberMs: 0 } } : {}),
  });
  const asked: number[] = [];
  let failure: unknown;
  try {
    await sleep(warmMs);
    for (let flip = 0; flip < flips; flip++) {
      client.mark("steady");
      const steadyFrom = performance.now();
      await sleep(steadyMs);
      client.mark("flip");
      const askedMs = performance.now();
      stretches.push([steadyFrom, askedMs]);
      asked.push(performance.timeOrigin + askedMs);
      await Promise.all([service.flip(), sleep(FLIP_WINDOW_MS)]);
      client.mark("after");
      const untilMs = flip === flips - 1 ? AFTER_MS : flipMs;
      await sleep(Math.max(0, untilMs - (performance.now() - askedMs)));
    }
  } catch (error) {
    failure = error;
  }
  const report = await client.stop();
  if (failure !== undefined) throw failure;
  return phaseResult(report, asked);
}

function phaseResult({ http, webSockets, timeline }: ClientReport, asked: number[]): PhaseResult {
  const counts = ({ sent, lost }: Pick<PopulationReport, "sent" | "lost">): Counts => ({
    sent,
    lost,
  });
  const populations: Record<string, Counts> = {};
  for (const [name, report] of Object.entries(http.populations)) populations[name] = counts(report);
  if (http.prober !== null) populations["prober"] = counts(http.prober);
  if (webSockets !== null) populations["webSocket"] = counts(webSockets);
  // The new process of a flip is the first one that was heard for the first time after asking.
  const first = Object.values(timeline.firstAt).toSorted((a, b) => a - b);
  return {
    flips: asked.length,
    populations,
    lossKinds: { ...http.lossKinds, ...prefixed("webSocket", webSockets?.lossKinds ?? {}) },
    windows: http.windows,
    webSocketWindows: webSockets?.windows ?? [],
    rps: http.rps,
    consistent: http.consistent && webSockets?.consistent !== false,
    firstAnswerMs: asked.map((at) => (first.find((each) => each > at) ?? NaN) - at),
  };
}

function prefixed(prefix: string, counts: Readonly<Record<string, number>>) {
  return Object.fromEntries(
    Object.entries(counts).map(([kind, count]) => [`${prefix}: ${kind}`, count]),
  );
}

function costs(samples: readonly Sample[], steady: readonly Stretch[]) {
  let extraMs = 0;
  let [steadyMiB, peakMiB] = [0, 0];
  for (const [from, to] of steady) {
    const rate = cpuIn(samples, [from, to]) / (to - from);
    extraMs += cpuIn(samples, [to, to + COST_WINDOW_MS]) - rate * COST_WINDOW_MS;
    steadyMiB = Math.max(steadyMiB, memoryPeak(samples, [from, to]));
    peakMiB = Math.max(peakMiB, memoryPeak(samples, [to, to + COST_WINDOW_MS]));
  }
  return {
    memory: { steadyMiB, peakMiB },
    flipCpuMs: extraMs / Math.max(1, steady.length),
  };
}
