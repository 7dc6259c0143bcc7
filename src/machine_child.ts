/**
 * The child's rows of the state machine: from the start of the process until it is the owner.
 *
 * @module
 */

import type { Failure, Starting } from "./machine_types.ts";
import {
  answer,
  emit,
  ignore,
  noChild,
  refuse,
  reject,
  type Row,
  type Step,
} from "./machine_rows.ts";

/** Leaves before having become the owner. What was accepted, if anything, is drained before `ready()` rejects. */
function abandon(state: Starting, because: "stopped" | "aborted", failure: Failure): Step {
  return [
    { name: "stopping", because, child: false, drained: false },
    [
      // It may have accepted already. A parent that knows gives it the time to finish.
      ...(state.phase === "opening" && state.parent === "alive"
        ? [{ type: "send-parent", frame: "ready" } as const]
        : []),
      ...reject(state.ready, failure),
      { type: "stop-accepting" },
      { type: "close-inherited" },
      ...(state.parent === "alive" ? [] : [{ type: "remove-names" } as const]),
      { type: "resolve-exit", reason: "stopped" },
      emit(because === "aborted" ? "aborted" : "stopping"),
    ],
  ];
}

/** The same on its own account: whoever decides is told. */
function giveUp(
  state: Starting,
  because: "stopped" | "aborted",
  failure: Failure,
  told: Failure = failure,
): Step {
  const [next, effects] = abandon(state, because, failure);
  return state.parent === "alive"
    ? [next, [{ type: "fail-to-parent", failure: told }, ...effects]]
    : [next, effects];
}

/** The parent cannot decide any more: what it would have said next is done without it. */
function withoutParent(state: Starting): Step {
  const next: Starting = { ...state, parent: "gone" };
  switch (state.phase) {
    case "initialising":
    case "opening":
    case "owning":
      return [next, [emit("parent-gone")]];
    case "announced":
    case "probation":
      return [{ ...next, phase: "owning" }, [emit("parent-gone"), { type: "take-names" }]];
  }
}

/** Before the first `ready()` has been answered. */
export const starting: Row<"starting"> = {
  "ready-called": (state, event) =>
    state.phase === "initialising"
      ? [{ ...state, phase: "opening", ready: event.request }, [
        { type: "close-inherited" },
        { type: "start-accepting" },
      ]]
      : refuse("ERR_NOT_READY", "Cannot become ready: ready() was called already")(state, event),
  "opened": (state) => {
    if (state.phase !== "opening") return ignore("nothing was being opened")(state);
    return state.parent === "alive"
      ? [{ ...state, phase: "announced" }, [{ type: "send-parent", frame: "ready" }]]
      : [{ ...state, phase: "owning" }, [{ type: "take-names" }]];
  },
  "open-failed": (state, event) => {
    if (state.phase !== "opening") return ignore("nothing was being opened")(state);
    // Without a parent the application may mend it and call ready() again.
    return state.parent === "alive"
      ? giveUp(state, "aborted", event.failure)
      : [{ ...state, phase: "initialising", ready: null }, reject(state.ready, event.failure)];
  },
  "names-taken": (state) => {
    if (state.phase !== "owning") return ignore("no name was being taken over")(state);
    return [{ name: "serving" }, [
      ...(state.parent === "alive" ? [{ type: "send-parent", frame: "owned" } as const] : []),
      ...answer(state.ready),
      emit("ready"),
    ]];
  },
  "names-failed": (state, event) => {
    if (state.phase !== "owning") return ignore("no name was being taken over")(state);
    switch (state.parent) {
      case "alive":
        // The parent still accepts and still has the names: it goes on, this process leaves.
        return giveUp(state, "aborted", event.failure);
      case "none":
        return [
          { ...state, phase: "initialising", ready: null },
          reject(state.ready, event.failure),
        ];
      case "gone":
        // Nobody else is left: serving without a PID file beats not serving. The failure is logged.
        return [{ name: "serving" }, [...answer(state.ready), emit("ready")]];
    }
  },
  "parent-probation": (state) =>
    state.phase === "announced"
      ? [{ ...state, phase: "probation", ready: null }, answer(state.ready)]
      : ignore("this process has not said that it is ready")(state),
  "parent-commit": (state) =>
    state.phase === "announced" || state.phase === "probation"
      ? [{ ...state, phase: "owning" }, [{ type: "take-names" }]]
      : ignore("this process has not said that it is ready")(state),
  "parent-abort": (state, event) =>
    abandon(state, "aborted", {
      code: "ERR_ABORTED",
      message: `Cannot take over: the parent called the upgrade off (${event.reason})`,
    }),
  "parent-gone": (state) =>
    state.parent === "alive" ? withoutParent(state) : ignore("there is no parent")(state),
  "upgrade-requested": refuse(
    "ERR_NOT_READY",
    "Cannot upgrade: the process is not ready yet; call ready() first",
  ),
  ...noChild,
  "fail-called": (state, event) =>
    state.parent === "alive"
      ? giveUp(state, "aborted", {
        code: "ERR_ABORTED",
        message: `Cannot take over: this process gave up (${event.reason})`,
      }, { code: "ERR_CHILD_FAILED", message: event.reason })
      : ignore("nobody tries this process")(state),
  "stop-called": (state) =>
    giveUp(state, "stopped", {
      code: "ERR_STOPPED",
      message: "Cannot become ready: the process was stopped",
    }),
  "drained": ignore("nothing drains before ready"),
};
