/**
 * What a process that leaves has to finish: the connections of its servers, and what the application adds.
 *
 * @module
 */

import type { Clock, Listener } from "./backend/backend.ts";
import { type FinishWork, watchApplication, type WorkOptions } from "./drain/application.ts";
import {
  type DrainPlan,
  type DrainReport,
  type NamedDrainable,
  runDrain,
  type RunningDrain,
  watch,
} from "./drain/drain.ts";
import { type RunningPause, runPause } from "./drain/pause.ts";
import { UpgradeError } from "./errors.ts";

/** Everything that is to be finished, and the drain that finishes it. */
export class Leaving {
  readonly #drainables: NamedDrainable[] = [];
  #drain: RunningDrain | undefined;
  #pause: RunningPause | undefined;
  #isCut = false;

  /** How many connections are open. */
  get connections(): number {
    return this.#drainables.reduce((sum, { drainable }) => sum + drainable.connections(), 0);
  }

  /** How far the drain is; `null` before it has begun. */
  get progress(): DrainReport | null {
    return (this.#drain ?? this.#pause)?.progress() ?? null;
  }

  /** Watches the connections of a server from now on. */
  watch(identity: string, listener: Listener): void {
    const drainable = watch(listener);
    if (drainable !== undefined) this.#drainables.push({ identity, drainable });
  }

  /** Adds what the application finishes. @returns Takes it out again. @throws {UpgradeError} `ERR_STOPPED` */
  add(
    name: string,
    finish: FinishWork,
    options: WorkOptions,
    warn: (message: string) => void,
  ): () => void {
    if (this.#drain !== undefined) {
      throw new UpgradeError("ERR_STOPPED", "Cannot add to the drain: it has begun");
    }
    const added = { identity: name, drainable: watchApplication(name, finish, options, warn) };
    this.#drainables.push(added);
    return () => {
      const index = this.#drainables.indexOf(added);
      if (index >= 0 && this.#drain === undefined) this.#drainables.splice(index, 1);
    };
  }

  /**
   * Lets the connections finish of a process that may go on serving; none is cut.
   *
   * @param caughtUp Resolves when every connection that was accepted before is known.
   * @returns When none is left, or when the time is over.
   */
  async pause(plan: DrainPlan, clock: Clock, caughtUp: () => Promise<void>): Promise<DrainReport> {
    this.#pause = runPause(this.#drainables, plan, clock, caughtUp());
    return await this.#pause.quiet;
  }

  /** The process goes on serving. */
  resume(): void {
    this.#pause?.end();
    this.#pause = undefined;
  }

  /**
   * Begins the drain; a second call only waits for its end.
   *
   * @param caughtUp Resolves when every connection that was accepted before is known.
   * @param over Called once, with the report.
   */
  begin(
    plan: DrainPlan,
    clock: Clock,
    caughtUp: () => Promise<void>,
    over: (report: DrainReport) => void,
  ): Promise<DrainReport> {
    if (this.#drain === undefined) {
      this.resume();
      this.#drain = runDrain(this.#drainables, plan, clock, caughtUp());
      this.#drain.report.then(over);
      if (this.#isCut) this.#drain.cutNow();
    }
    return this.#drain.report;
  }

  /** Cuts what is open, now or as soon as the drain begins. */
  cut(): void {
    this.#isCut = true;
    this.#drain?.cutNow();
  }
}
