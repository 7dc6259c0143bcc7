/**
 * The state machine of one process: `(state, event) -> [state, effects]`.
 *
 * Pure: no I/O, no timers, no runtime names. Effects are data; `core.ts` carries them out in order. Every state
 * answers every event: with a transition, with a refusal that has its own code, or with `ignore` and the reason.
 *
 * A process lives through `starting -> serving -> upgrading (-> probation) -> draining -> exited`, or leaves by
 * `stopping`. It is the child of an upgrade while `starting` and the parent of one while `upgrading`.
 *
 * Who decides: the parent, as long as it lives. It keeps accepting until the child has said `owned`, so that a child
 * which dies at any moment before leaves nothing to be repaired but the names, which the parent takes back. When the
 * parent dies, the child decides.
 *
 * @module
 */

import { starting } from "./machine_child.ts";
import { draining, exited, stopping } from "./machine_leaving.ts";
import { probation, serving, upgrading } from "./machine_owner.ts";
import type { Row, Step } from "./machine_rows.ts";
import type { Event, State } from "./machine_types.ts";

export type { Step } from "./machine_rows.ts";
export type * from "./machine_types.ts";

/** The state in which a process begins. */
export function initialState(hasParent: boolean): State {
  return {
    name: "starting",
    parent: hasParent ? "alive" : "none",
    phase: "initialising",
    ready: null,
  };
}

const TABLE: { readonly [S in State["name"]]: Row<S> } = {
  starting,
  serving,
  upgrading,
  probation,
  draining,
  stopping,
  exited,
};

/**
 * One step of the machine.
 *
 * @param state Where the process is.
 * @param event What happened.
 * @returns Where it is now, and what is to be done, in order.
 */
export function transition(state: State, event: Event): Step {
  const row = TABLE[state.name] as Row<State["name"]>;
  const handler = row[event.type] as (state: State, event: Event) => Step;
  return handler(state, event);
}
