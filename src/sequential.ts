/**
 * The steps of a sequential upgrade that the old process takes itself: before the child is started, and after it has
 * failed.
 *
 * @module
 */

import { formatAddress } from "./address.ts";
import type { Clock } from "./backend/backend.ts";
import { toFailure } from "./child.ts";
import type { DrainPlan } from "./drain/drain.ts";
import { UpgradeError } from "./errors.ts";
import type { Exclusives } from "./exclusive.ts";
import type { Leaving } from "./leaving.ts";
import type { Event, State } from "./machine.ts";
import type { CommandOptions } from "./options.ts";
import type { SocketRegister } from "./sockets.ts";
import type { Succession } from "./succession.ts";

/** What these steps are taken with. */
export interface SequentialParts {
  readonly register: SocketRegister;
  readonly leaving: Leaving;
  readonly exclusives: Exclusives;
  readonly command: CommandOptions;
  readonly clock: Clock;
  readonly plan: DrainPlan;
  /** Resolves when every connection that was accepted before is known. */
  caughtUp(): Promise<void>;
  /** Where the process is, and the attempt that is under way. */
  state(): State;
  succession(): Succession | undefined;
  dispatch(event: Event): void;
  /** Tells the operator. */
  error(message: string): void;
}

/** Whether an owner accepts: it is not in a sequential upgrade. */
function isToAccept(state: State): boolean {
  return state.name === "serving" || "paused" in state && !state.paused;
}

/** Pauses, releases, takes back and resumes. */
export class Sequential {
  readonly #parts: SequentialParts;
  /** When no listener is being paused. */
  #pausing: Promise<unknown> = Promise.resolve();

  /** @param parts See {@linkcode SequentialParts}. */
  constructor(parts: SequentialParts) {
    this.#parts = parts;
  }

  /** Leaves clients in the kernel's queue and lets the connections finish; dispatches how that went. */
  async pause(): Promise<void> {
    const { register, leaving, command, clock, plan, caughtUp, state } = this.#parts;
    await this.#step("pausing", async (succession, isGivenUp) => {
      const listeners = register.used.flatMap(({ listener }) => listener ?? []);
      const fixed = listeners.find(({ pause }) => pause === undefined);
      if (fixed !== undefined) {
        throw new UpgradeError(
          "ERR_UNSUPPORTED",
          `Cannot pause the server on ${formatAddress(fixed.bound)}: ${
            fixed.stays ?? "it cannot be paused"
          }`,
        );
      }
      // What can fail without the child fails before anybody has to wait.
      await succession?.prepare(command);
      if (isGivenUp()) return { type: "paused" };
      // One after the other, should the last attempt have been given up.
      const pausing = this.#pausing.then(() =>
        Promise.allSettled(listeners.map((listener) => listener.pause?.()))
      );
      this.#pausing = pausing;
      const outcomes = await pausing;
      if (isGivenUp()) {
        // Whoever gave it up has opened what was paused by then; what was paused since would stay so.
        if (isToAccept(state())) await this.#openAll();
        return { type: "paused" };
      }
      const failed = outcomes.find(({ status }) => status === "rejected");
      if (failed?.status === "rejected") throw failed.reason;
      succession?.paused(await leaving.pause(plan, clock, caughtUp));
      return { type: "paused" };
    });
  }

  /** Lets the application release what only one process may hold; dispatches how that went. */
  async release(): Promise<void> {
    await this.#step("releasing", async (succession) => {
      await this.#parts.exclusives.release();
      succession?.released();
      return { type: "released" };
    });
  }

  /** Lets the application take it back; dispatches how that went. */
  async reacquire(): Promise<void> {
    await this.#step("resuming", async () => {
      const problem = await this.#parts.exclusives.reacquire();
      if (problem !== null) this.#parts.error(`Cannot go on as before: ${problem}`);
      return { type: "reacquired", problem };
    });
  }

  /** Accepts again. */
  async resume(): Promise<void> {
    this.#parts.exclusives.abort();
    this.#parts.leaving.resume();
    try {
      await this.#openAll();
    } catch (error) {
      this.#parts.error((error as Error).message);
    }
  }

  /** Runs a step, and tells how it ended unless it was given up meanwhile. */
  async #step(
    phase: "pausing" | "releasing" | "resuming",
    step: (succession: Succession | undefined, isGivenUp: () => boolean) => Promise<Event>,
  ): Promise<void> {
    const succession = this.#parts.succession();
    const isGivenUp = () => {
      const state = this.#parts.state();
      return this.#parts.succession() !== succession || state.name !== "upgrading" ||
        state.phase !== phase;
    };
    let event: Event;
    try {
      event = await step(succession, isGivenUp);
    } catch (error) {
      const failure = toFailure(error, "ERR_ABORTED");
      event = { type: phase === "pausing" ? "pause-failed" : "release-failed", failure };
    }
    if (!isGivenUp()) this.#parts.dispatch(event);
  }

  /** Opens every listener, also behind one that cannot be opened. @throws what the first of those says. */
  async #openAll(): Promise<void> {
    let problem: unknown;
    for (const { listener } of this.#parts.register.used) {
      await listener?.open().catch((error) => problem ??= error);
    }
    if (problem !== undefined) throw problem;
  }
}
