/**
 * A load client that counts every request: raw sockets, closed loops, no retries.
 *
 * ```ts
 * const load = startLoad({ target: { port: 8080 }, keepAlive: 20, oneShot: 5, post: 5, thinkMs: 20 });
 * load.mark("flip");
 * const report = await load.stop();
 * console.log(report.sent, report.lost, report.consistent);
 * ```
 *
 * @module
 */

import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";
import type { TallyReport } from "./account.ts";
import { Client } from "./client.ts";
import type { ClientContext, LoadClient } from "./context.ts";
import { type LoadOptions, type Settings, settingsOf } from "./options.ts";
import { type Report, reportOf } from "./report.ts";
import { Tally } from "./tally.ts";
import { Turns } from "./turns.ts";
import { WebSocketClient } from "./web_socket_client.ts";

export type { Loss, PopulationReport, TallyReport } from "./account.ts";
export type { Latency } from "./histogram.ts";
export type { IdentityReport, WentBack } from "./identities.ts";
export type { LoadOptions } from "./options.ts";
export { type Outcome, type OutcomeCounts, OUTCOMES } from "./outcome.ts";
export type { Kind, PopulationOptions, Populations } from "./population.ts";
export type { Echo } from "./request.ts";
export type { ProberReport, Report } from "./report.ts";
export type { Response } from "./response_parser.ts";

export type { WindowReport } from "./windows.ts";
export type { Target } from "./wire.ts";

/** A running load. */
export interface Load {
  /** The account so far. */
  snapshot(): Report;
  /** Begins another window; windows of the same label are added up. */
  mark(label: string): void;
  /** Sends nothing new, waits for what is under way (at most the request's time-out), and reports. */
  stop(): Promise<Report>;
  /** Resolves when it has ended, by `stop()` or by one of its limits. */
  readonly done: Promise<Report>;
}

/**
 * Starts a load.
 *
 * @throws {RangeError} When a number among the options is not usable.
 */
export function startLoad(options: LoadOptions): Load {
  return new RunningLoad(settingsOf(options));
}

/** How often time-outs are looked for: they come at most this late. */
const SWEEP_MS = 50;
const MAX_PROBES = 512;

class RunningLoad implements Load {
  readonly done: Promise<Report>;
  readonly #settings: Settings;
  readonly #origin = performance.now();
  readonly #tally: Tally;
  readonly #probes: Tally;
  readonly #turns = new Turns();
  readonly #clients = new Set<LoadClient>();
  readonly #probing = new Set<LoadClient>();
  readonly #timers: (() => void)[] = [];
  #resolve!: (report: Report) => void;
  #taken = 0;
  #skipped = 0;
  #stopping = false;
  #endedMs: number | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#tally = new Tally(settings.label, 0);
    this.#probes = new Tally(settings.label, 0);
    this.done = new Promise((resolve) => this.#resolve = resolve);
    const context = this.#context(this.#tally, this.#clients, () => this.#take());
    for (const plan of settings.plans) {
      const Kind = plan.webSocket ? WebSocketClient : Client;
      for (let n = 0; n < plan.clients; n++) this.#clients.add(new Kind(plan, context));
    }
    // Time-outs wait for one more poll: after a stall of this process the answers may lie in the sockets.
    this.#every(SWEEP_MS, () => this.#turns.after({ onTurn: () => this.#sweep() }));
    if (settings.proberMs > 0) this.#every(settings.proberMs, () => this.#probe());
    const limit = setTimeout(() => void this.stop(), settings.maxMs);
    this.#timers.push(() => clearTimeout(limit));
    for (const client of [...this.#clients]) client.start();
  }

  snapshot(): Report {
    const nowMs = this.#endedMs ?? this.#now();
    const main = accountOf(this.#tally, this.#clients, nowMs);
    const probes = this.#settings.proberMs > 0
      ? accountOf(this.#probes, this.#probing, nowMs)
      : undefined;
    return reportOf({ nowMs, main, probes, skipped: this.#skipped });
  }

  mark(label: string): void {
    const nowMs = this.#now();
    this.#tally.mark(label, nowMs);
    this.#probes.mark(label, nowMs);
  }

  stop(): Promise<Report> {
    if (!this.#stopping) {
      this.#stopping = true;
      for (const client of [...this.#clients, ...this.#probing]) client.stop();
      this.#endWhenIdle();
    }
    return this.done;
  }

  #context(tally: Tally, clients: Set<LoadClient>, take: () => boolean): ClientContext {
    const { target, timeoutMs, expectStatus, identify, check } = this.#settings;
    return {
      target,
      tally,
      turns: this.#turns,
      timeoutMs,
      expectStatus,
      identify,
      check,
      now: () => this.#now(),
      later,
      take,
      left: (client) => {
        clients.delete(client as LoadClient);
        this.#endWhenIdle();
      },
    };
  }

  #now(): number {
    return performance.now() - this.#origin;
  }

  #take(): boolean {
    if (this.#stopping || this.#taken >= this.#settings.maxRequests) return false;
    this.#taken++;
    return true;
  }

  #probe(): void {
    if (this.#stopping) return;
    if (this.#probing.size >= MAX_PROBES) {
      this.#skipped++;
      return;
    }
    let left = 1;
    const context = this.#context(this.#probes, this.#probing, () => left-- > 0);
    const client = new Client(this.#settings.probe, context);
    this.#probing.add(client);
    client.start();
  }

  #sweep(): void {
    const nowMs = this.#now();
    for (const client of [...this.#clients, ...this.#probing]) client.expire(nowMs);
  }

  #every(ms: number, task: () => void): void {
    const timer = setInterval(task, ms);
    this.#timers.push(() => clearInterval(timer));
  }

  // The load ends when its clients have left, that is at a limit or a stop; the prober alone never ends it.
  #endWhenIdle(): void {
    if (this.#endedMs !== undefined || this.#clients.size > 0) return;
    if (!this.#stopping && this.#settings.plans.length > 0) return void this.stop();
    if (!this.#stopping || this.#probing.size > 0) return;
    this.#endedMs = this.#now();
    for (const off of this.#timers) off();
    this.#resolve(this.snapshot());
  }
}

function accountOf(tally: Tally, clients: ReadonlySet<LoadClient>, nowMs: number): TallyReport {
  let all = 0;
  let written = 0;
  for (const { inFlight } of clients) {
    all += inFlight.all;
    written += inFlight.written;
  }
  return tally.report(nowMs, all, written);
}

function later(ms: number, task: () => void): () => void {
  const timer = setTimeout(task, ms);
  return () => clearTimeout(timer);
}
