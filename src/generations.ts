/**
 * The older generations that still have connections to finish.
 *
 * @module
 */

import type { Backend } from "./backend/backend.ts";
import type { DrainingGeneration, HelloFrame } from "./protocol.ts";

/** What is used of a backend. */
type Processes = Pick<Backend, "isAlive" | "startedAt">;

/** Which older generations of this service are still there. */
export class Generations {
  readonly #backend: Processes;
  #draining: DrainingGeneration[];
  /** The parent, until it drains or is gone. */
  #parent: DrainingGeneration | undefined;
  readonly #drainTimeoutMs: number | undefined;

  /** @param hello What the parent said, if there is one. */
  constructor(backend: Processes, hello: HelloFrame | undefined) {
    this.#backend = backend;
    this.#draining = [...hello?.draining ?? []];
    this.#drainTimeoutMs = hello?.drainTimeoutMs;
    if (hello === undefined) return;
    const { pid, generation } = hello;
    const started = backend.startedAt(pid);
    this.#parent = {
      pid,
      generation: generation - 1,
      ...(started === undefined ? {} : { started }),
    };
  }

  /** The parent has left: it drains from now on. */
  parentDrains(now: number): void {
    if (this.#parent === undefined) return;
    this.#draining.push({
      ...this.#parent,
      since: now,
      ...(this.#drainTimeoutMs === undefined ? {} : { deadline: now + this.#drainTimeoutMs }),
    });
    this.#parent = undefined;
  }

  /** The parent process has ended. */
  parentGone(pid: number): void {
    this.#parent = undefined;
    this.#draining = this.#draining.filter((generation) => generation.pid !== pid);
  }

  /** Those that live, oldest first; a later process with the number of one is none of them. */
  living(): DrainingGeneration[] {
    this.#draining = this.#draining.filter(({ pid, started }) =>
      this.#backend.isAlive(pid) &&
      (started === undefined || started === this.#backend.startedAt(pid))
    );
    return [...this.#draining];
  }
}
