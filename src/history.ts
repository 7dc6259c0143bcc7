/**
 * What became of the last upgrades of a service; travels from generation to generation.
 *
 * @module
 */

import type { DrainReport } from "./drain/drain.ts";
import type { ErrorCode, UpgradeError } from "./errors.ts";
import type { UpgradeReport } from "./report.ts";

/** One upgrade, as `status()` lists it. */
export interface UpgradeRecord {
  /** When it was over, in milliseconds since the epoch. */
  readonly at: number;
  /** The generation that was to be replaced. */
  readonly generation: number;
  /** How it ended. */
  readonly result: "upgraded" | "failed";
  /** How it went, when it succeeded. */
  readonly report?: UpgradeReport;
  /** How the replaced generation let its connections go, once that is over. */
  readonly drain?: DrainReport;
  /** Why it failed. */
  readonly code?: ErrorCode;
  /** Why it failed, in words. */
  readonly message?: string;
}

const LENGTH = 10;

/** The last upgrades, oldest first. */
export class History {
  #records: readonly UpgradeRecord[] = [];

  /** At most ten, oldest first. */
  get records(): readonly UpgradeRecord[] {
    return this.#records;
  }

  /** What the parent knows; what happened here meanwhile stays. */
  inherit(records: readonly UpgradeRecord[]): void {
    const generation = records.at(-1)?.generation ?? 0;
    this.#keep([...records, ...this.#records.filter((record) => record.generation > generation)]);
  }

  /** An upgrade has succeeded. */
  succeeded(at: number, generation: number, report: UpgradeReport): void {
    this.#keep([...this.#records, { at, generation, result: "upgraded", report }]);
  }

  /** An upgrade has failed. */
  failed(at: number, generation: number, error: UpgradeError): void {
    const { code, message } = error;
    this.#keep([...this.#records, {
      at,
      generation,
      result: "failed",
      code,
      message: message.slice(0, 1000),
    }]);
  }

  /** The generation that was replaced has drained. */
  drained(generation: number, drain: DrainReport): void {
    this.#records = this.#records.map((record) =>
      record.result === "upgraded" && record.generation === generation
        ? { ...record, drain }
        : record
    );
  }

  #keep(records: readonly UpgradeRecord[]): void {
    this.#records = records.slice(-LENGTH);
  }
}
