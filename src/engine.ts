/**
 * Carries the state machine: one event after the other, effects in order, timers by name.
 *
 * @module
 */

import type { Clock, Disposer } from "./backend/backend.ts";
import { type Effect, type Event, type State, type TimerName, transition } from "./machine.ts";

/** Effects that are not the engine's own. */
export type OuterEffect = Exclude<Effect, { type: "start-timer" | "clear-timer" | "ignore" }>;

/** What an engine needs. */
export interface EngineParts {
  readonly clock: Clock;
  /** How long a timer runs, in milliseconds. */
  duration(timer: TimerName, patient: boolean): number;
  /** Carries out one effect; must not throw. */
  run(effect: OuterEffect): void;
  /** Called after a step that changed the name of the state. */
  entered(state: State): void;
}

const EXPIRED: { readonly [T in TimerName]: Event } = {
  pause: { type: "timeout" },
  upgrade: { type: "timeout" },
  probation: { type: "probation-over" },
  kill: { type: "kill-timeout" },
};

/** A running state machine. */
export class Engine {
  readonly #parts: EngineParts;
  readonly #timers = new Map<TimerName, Disposer>();
  readonly #queue: Event[] = [];
  #busy = false;
  #state: State;

  constructor(state: State, parts: EngineParts) {
    this.#state = state;
    this.#parts = parts;
  }

  /** Where the process is. */
  get state(): State {
    return this.#state;
  }

  /** Takes an event; one that arrives while another is being handled waits for its turn. */
  dispatch(event: Event): void {
    this.#queue.push(event);
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        this.#step(next);
      }
    } finally {
      this.#busy = false;
    }
  }

  /** Ends all timers. */
  dispose(): void {
    for (const timer of [...this.#timers.keys()]) this.#clear(timer);
  }

  #step(event: Event): void {
    const before = this.#state.name;
    const [state, effects] = transition(this.#state, event);
    this.#state = state;
    for (const effect of effects) {
      if (effect.type === "start-timer") this.#start(effect.timer, effect.patient ?? false);
      else if (effect.type === "clear-timer") this.#clear(effect.timer);
      else if (effect.type !== "ignore") this.#parts.run(effect);
    }
    if (state.name !== before) this.#parts.entered(state);
  }

  #start(timer: TimerName, patient: boolean): void {
    this.#clear(timer);
    const expire = () => {
      this.#timers.delete(timer);
      this.dispatch(EXPIRED[timer]);
    };
    this.#timers.set(timer, this.#parts.clock.after(this.#parts.duration(timer, patient), expire));
  }

  #clear(timer: TimerName): void {
    this.#timers.get(timer)?.();
    this.#timers.delete(timer);
  }
}
