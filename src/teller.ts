/**
 * Tells what happened: to the operator, to listeners, and to the successor as history.
 *
 * @module
 */

import type { DrainReport } from "./drain/drain.ts";
import type { UpgradeError } from "./errors.ts";
import { History, type UpgradeRecord } from "./history.ts";
import type { LifecycleEvent } from "./machine.ts";
import type { Logger } from "./options.ts";
import type { HistoryFrame } from "./protocol.ts";
import type { UpgradeReport, UpgraderEventDetail } from "./report.ts";
import { Totals } from "./totals.ts";

/** Is told every step. */
export type Tell = (event: LifecycleEvent, detail: UpgraderEventDetail) => void;

/** Remembers the outcomes of a process and tells them. */
export class Teller {
  readonly #generation: number;
  readonly #pid: number;
  readonly #logger: Logger;
  readonly #tell: Tell;
  readonly #history: History = new History();
  /** Counters of the service. */
  readonly totals: Totals = new Totals();
  /** The last upgrade of this process. */
  report: UpgradeReport | null = null;
  /** The last failure of this process. */
  error: UpgradeError | undefined;
  /** How the drain of this process went. */
  drain: DrainReport | undefined;

  constructor(
    of: { readonly generation: number; readonly pid: number },
    logger: Logger,
    tell: Tell,
  ) {
    this.#generation = of.generation;
    this.#pid = of.pid;
    this.#logger = logger;
    this.#tell = tell;
  }

  /** The last upgrades of the service. */
  get records(): readonly UpgradeRecord[] {
    return this.#history.records;
  }

  /** The same, for the successor. */
  get frame(): HistoryFrame {
    return {
      type: "history",
      records: this.#history.records as unknown as HistoryFrame["records"],
      totals: { ...this.totals.counts },
    };
  }

  /** What the parent knows of older upgrades. */
  inherit({ records, totals }: HistoryFrame): void {
    this.#history.inherit(records as unknown as UpgradeRecord[]);
    if (totals !== undefined) this.totals.inherit(totals);
  }

  /** Tells the operator; a broken logger breaks nothing. */
  log(level: "info" | "warn" | "error", message: string): void {
    try {
      this.#logger[level](message);
    } catch {
      // A broken logger must not break an upgrade.
    }
  }

  /** Tells a step to everybody. */
  emit(event: LifecycleEvent): void {
    const { report, error, drain } = this;
    const generation = this.#generation;
    const now = Date.now();
    const detail = { event, generation, pid: this.#pid };
    if (event === "upgraded" && report !== null) {
      this.#history.succeeded(now, generation, report);
      this.totals.upgraded(report.durationMs);
      const { pid, runtime, version, durationMs } = report;
      const successor = `generation ${report.generation} (pid ${pid}, ${runtime} ${version})`;
      this.log("info", `upgraded: ${successor} took over after ${Math.round(durationMs)} ms`);
      this.#tell(event, { ...detail, report });
    } else if (event === "upgrade-failed" && error !== undefined) {
      this.#history.failed(now, generation, error);
      this.#tell(event, { ...detail, error });
    } else if (event === "drained" && drain !== undefined) {
      this.#history.drained(generation, drain);
      this.totals.drained(drain);
      this.#tell(event, { ...detail, drain });
    } else {
      if (event === "stopping") this.log("info", `generation ${generation} stops`);
      this.#tell(event, detail);
    }
  }
}
