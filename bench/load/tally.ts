/**
 * The account of a load: what was begun, what became of it, and whether the two agree.
 *
 * @module
 */

import { audit, type Loss, sumUp, type TallyReport } from "./account.ts";
import { Histogram } from "./histogram.ts";
import { type Birth, Identities } from "./identities.ts";
import { noOutcomes, type Outcome } from "./outcome.ts";
import { Windows } from "./windows.ts";
import type { WireCounters } from "./wire.ts";

/** One request, from its beginning to its class. */
export interface Entry {
  readonly population: string;
  /** Whether it is the first on its connection. */
  readonly fresh: boolean;
  readonly birth: Birth;
  readonly window: number;
  readonly begunMs: number;
  /** How long it took and when that was known, for what goes on afterwards. */
  measured?: { readonly latencyMs: number; readonly window: number };
  /** Set by the connection when it writes. */
  written: boolean;
  /** Set by the tally when it has its class. */
  finished: boolean;
}

const MAX_LOSSES = 100;

/** Keeps the account. */
export class Tally {
  /** Counted by the connections. */
  readonly wire: WireCounters = {
    dialled: 0,
    opened: 0,
    requests: 0,
    responses: 0,
    events: 0,
    sentAfterClose: 0,
    endings: new Map(),
  };
  readonly identities: Identities = new Identities();
  readonly #windows: Windows;
  readonly #histogram = new Histogram();
  readonly #outcomes = noOutcomes();
  readonly #populations = new Map<string, { [outcome in Outcome]: number }>();
  readonly #lossKinds = new Map<string, number>();
  readonly #losses: Loss[] = [];
  #begun = 0;
  #finishedWritten = 0;
  #finishedWhole = 0;
  #finishedTwice = 0;

  /** @param label The label of the first window. */
  constructor(label: string, nowMs: number) {
    this.#windows = new Windows(label, nowMs);
  }

  /** Counts a request that begins now; returns what its entry has to say about its window. */
  begin(): number {
    this.#begun++;
    return this.#windows.current;
  }

  /** The current window. */
  get window(): number {
    return this.#windows.current;
  }

  /** Begins another window. */
  mark(label: string, nowMs: number): void {
    this.#windows.mark(label, nowMs);
  }

  /** Ends a request without an answer, or with a wrong one (`whole`). */
  fail(entry: Entry, outcome: Outcome, detail: string, nowMs: number, whole = false): void {
    if (!this.#finish(entry, outcome, nowMs)) return;
    if (whole) this.#finishedWhole++;
    if (outcome === "not-sent") return;
    const kind = `${outcome}/${entry.fresh ? "fresh" : "reused"}/${detail}`;
    this.#lossKinds.set(kind, (this.#lossKinds.get(kind) ?? 0) + 1);
    if (this.#losses.length >= MAX_LOSSES) return;
    const { population, fresh, begunMs } = entry;
    this.#losses.push({ atMs: nowMs, begunMs, population, fresh, outcome, detail });
  }

  /** Ends a request that got the whole and right answer. */
  answer(entry: Entry, identity: string | undefined, nowMs: number): void {
    if (!this.#finish(entry, "answered", nowMs)) return;
    this.#finishedWhole++;
    this.#histogram.add(entry.measured?.latencyMs ?? nowMs - entry.begunMs);
    this.identities.record(identity, entry.birth, nowMs);
  }

  /**
   * The account so far.
   *
   * @param inFlight The requests under way, as the clients count them.
   * @param inFlightWritten Those of them of which something was written.
   */
  report(nowMs: number, inFlight = 0, inFlightWritten = 0): TallyReport {
    const outcomes = { ...this.#outcomes };
    const populations = Object.fromEntries(
      [...this.#populations].map(([name, counts]) => [name, sumUp(counts)]),
    );
    const sums = sumUp(outcomes);
    const windows = this.#windows.report(nowMs);
    const identities = this.identities.report();
    const notSent = outcomes["not-sent"];
    const total = (numbers: number[]): number => numbers.reduce((sum, number) => sum + number, 0);
    const perPopulation = Object.values(populations);
    const inconsistencies = audit([
      ["begun = classes + in flight", this.#begun, sums.sent + notSent + inFlight],
      [
        "written on sockets = written and classified + in flight",
        this.wire.requests,
        this.#finishedWritten + inFlightWritten,
      ],
      ["responses parsed = answered + wrong but whole", this.wire.responses, this.#finishedWhole],
      ["answered = latencies", sums.answered, this.#histogram.count],
      [
        "answered = answers of all identities",
        sums.answered,
        total(identities.map(({ answers }) => answers)),
      ],
      ["sent = sent of all populations", sums.sent, total(perPopulation.map(({ sent }) => sent))],
      ["lost = lost of all populations", sums.lost, total(perPopulation.map(({ lost }) => lost))],
      ["lost = losses by kind", sums.lost, total([...this.#lossKinds.values()])],
      [
        "sent + overlaps = requests of all windows",
        sums.sent + this.#windows.overlaps,
        total(windows.map(({ requests }) => requests)),
      ],
      ["classified twice = 0", this.#finishedTwice, 0],
      ["sent on a closed connection = 0", this.wire.sentAfterClose, 0],
    ]);
    const { dialled, opened, endings } = this.wire;
    return {
      requests: this.#begun,
      ...sums,
      notSent,
      inFlight,
      events: this.wire.events,
      lossKinds: Object.fromEntries(this.#lossKinds),
      losses: [...this.#losses],
      latency: this.#histogram.summary(),
      windows,
      populations,
      identities,
      wentBack: this.identities.wentBack(),
      connections: { dialled, opened, endings: Object.fromEntries(endings) },
      consistent: inconsistencies.length === 0,
      inconsistencies,
    };
  }

  #finish(entry: Entry, outcome: Outcome, nowMs: number): boolean {
    if (entry.finished) {
      this.#finishedTwice++;
      return false;
    }
    entry.finished = true;
    if (entry.written) this.#finishedWritten++;
    this.#outcomes[outcome]++;
    let counts = this.#populations.get(entry.population);
    if (counts === undefined) this.#populations.set(entry.population, counts = noOutcomes());
    counts[outcome]++;
    if (outcome === "not-sent") return true;
    const { measured } = entry;
    // A stream's latency belongs to the time around its beginning, its loss to all the time until then.
    if (outcome === "answered" && measured !== undefined) {
      this.#windows.record(entry.window, outcome, measured.latencyMs, measured.window);
    } else this.#windows.record(entry.window, outcome, nowMs - entry.begunMs);
    return true;
  }
}
