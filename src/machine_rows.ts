/**
 * What the rows of the state machine are made of.
 *
 * @module
 */

import type { ErrorCode } from "./errors.ts";
import type { Effect, Event, Failure, LifecycleEvent, RequestId, State } from "./machine_types.ts";

/** The result of one step. */
export type Step = readonly [State, readonly Effect[]];

/** One kind of event. */
export type EventOf<E extends Event["type"]> = Extract<Event, { type: E }>;
/** One state. */
export type StateOf<S extends State["name"]> = Extract<State, { name: S }>;
/** What one state answers to one kind of event. */
export type Handler<S extends State["name"], E extends Event["type"]> = (
  state: StateOf<S>,
  event: EventOf<E>,
) => Step;
/** What one state answers to every event. */
export type Row<S extends State["name"]> = { readonly [E in Event["type"]]: Handler<S, E> };

/** What several states answer alike to some events. */
export type Same<E extends Event["type"]> = { readonly [K in E]: (state: State) => Step };

/** Changes nothing, and says why. */
export const ignore =
  (because: string) => (state: State): Step => [state, [{ type: "ignore", because }]];

/** Answers a request with an error. */
export const refuse = (code: ErrorCode, message: string) =>
(
  state: State,
  event: EventOf<"ready-called"> | EventOf<"upgrade-requested">,
): Step => [state, [{ type: "reject", request: event.request, failure: { code, message } }]];

/** Tells the outside. */
export const emit = (event: LifecycleEvent): Effect => ({ type: "emit", event });

/** Refuses a request that may have been answered already. */
export function reject(request: RequestId | null, failure: Failure): Effect[] {
  return request === null ? [] : [{ type: "reject", request, failure }];
}

/** Answers a request, if one waits. */
export function answer(request: RequestId | null): Effect[] {
  return request === null ? [] : [{ type: "resolve", request }];
}

/** Events of a child's life in the states that follow `starting`. */
export const lateForStarting: Same<
  | "opened"
  | "open-failed"
  | "names-taken"
  | "names-failed"
  | "parent-probation"
  | "parent-commit"
  | "fail-called"
> = {
  "opened": ignore("the listeners are open already"),
  "open-failed": ignore("the listeners are open already"),
  "names-taken": ignore("the names were taken already"),
  "names-failed": ignore("the names were taken already"),
  "parent-probation": ignore("the parent has committed already"),
  "parent-commit": ignore("the parent has committed already"),
  "fail-called": ignore("nobody tries this process any more"),
};

/** The parent has ended; nothing depends on it any more. */
export const gone = (state: State): Step => [state, [emit("parent-gone")]];

/** Events of a sequential upgrade, where none is at that step. */
export const notPausing: Same<
  "paused" | "pause-failed" | "released" | "release-failed" | "reacquired"
> = {
  "paused": ignore("nothing was being paused"),
  "pause-failed": ignore("nothing was being paused"),
  "released": ignore("nothing was being released"),
  "release-failed": ignore("nothing was being released"),
  "reacquired": ignore("nothing was being taken back"),
};

/** Events of an upgrade, in the states that have none. */
export const noChild: Same<
  | "paused"
  | "pause-failed"
  | "released"
  | "release-failed"
  | "reacquired"
  | "spawned"
  | "spawn-failed"
  | "child-joined"
  | "child-ready"
  | "child-failed"
  | "commit-acked"
  | "child-exited"
  | "timeout"
  | "kill-timeout"
  | "probation-over"
> = {
  ...notPausing,
  "spawned": ignore("no child was started"),
  "spawn-failed": ignore("no child was started"),
  "child-joined": ignore("no child was started"),
  "child-ready": ignore("no child was started"),
  "child-failed": ignore("no child was started"),
  "commit-acked": ignore("no child was started"),
  "child-exited": ignore("no child was started"),
  "timeout": ignore("no upgrade is running"),
  "kill-timeout": ignore("no child was told to go"),
  "probation-over": ignore("no child is on probation"),
};

/** Leaves without a successor. */
export function stop(child: boolean, before: readonly Effect[]): Step {
  return [{ name: "stopping", because: "stopped", child, drained: false }, [
    ...before,
    { type: "stop-accepting" },
    { type: "remove-names" },
    { type: "resolve-exit", reason: "stopped" },
    emit("stopping"),
  ]];
}
