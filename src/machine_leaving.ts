/**
 * The rows of the state machine for a process that leaves.
 *
 * @module
 */

import type { Effect, Stopping } from "./machine_types.ts";
import {
  emit,
  gone,
  ignore,
  lateForStarting,
  noChild,
  refuse,
  type Row,
  type Step,
} from "./machine_rows.ts";

/** Replaced: the open connections finish. */
export const draining: Row<"draining"> = {
  ...lateForStarting,
  ...noChild,
  "ready-called": refuse("ERR_ALREADY_UPGRADED", "Cannot become ready: the process was replaced"),
  "parent-abort": ignore("the process was replaced"),
  "parent-gone": gone,
  "upgrade-requested": refuse(
    "ERR_ALREADY_UPGRADED",
    "Cannot upgrade: the process was replaced already; ask its successor",
  ),
  "child-exited": ignore("the successor lives and dies on its own"),
  "stop-called": ignore("the process is leaving already"),
  "drained":
    () => [{ name: "exited", because: "upgraded" }, [emit("drained"), { type: "dispose" }]],
};

/** The end comes when the last connection is finished and no child of an interrupted upgrade is left. */
function leave(state: Stopping, effects: readonly Effect[]): Step {
  return state.drained && !state.child
    ? [{ name: "exited", because: state.because }, [...effects, { type: "dispose" }]]
    : [state, effects];
}

/** Stopped: the open connections finish. */
export const stopping: Row<"stopping"> = {
  ...lateForStarting,
  ...noChild,
  "opened": (state) => [state, [{ type: "stop-accepting" }]],
  "ready-called": (state, event) =>
    state.because === "aborted"
      ? refuse("ERR_ABORTED", "Cannot become ready: the parent called the upgrade off")(
        state,
        event,
      )
      : refuse("ERR_STOPPED", "Cannot become ready: the process was stopped")(state, event),
  "parent-abort": ignore("the process is leaving already"),
  "parent-gone": gone,
  "upgrade-requested": refuse("ERR_STOPPED", "Cannot upgrade: the process is stopping"),
  "spawned": (state) =>
    state.child
      // It was being started when the process was stopped; it must not be left behind.
      ? [state, [
        { type: "abort-child", reason: "the parent was stopped" },
        { type: "kill-child", signal: "SIGTERM" },
      ]]
      : ignore("no child was started")(state),
  "spawn-failed": (state) =>
    leave({ ...state, child: false }, [{ type: "clear-timer", timer: "kill" }]),
  "child-exited": (state) =>
    leave({ ...state, child: false }, [
      { type: "clear-timer", timer: "kill" },
      // `commit` may have been on its way: the child took the names after this process had removed them.
      ...(state.child ? [{ type: "remove-names" } as const] : []),
      { type: "release-child" },
    ]),
  "kill-timeout": (state) =>
    state.child
      ? leave({ ...state, child: false }, [
        { type: "kill-child", signal: "SIGKILL" },
        { type: "remove-names" },
        { type: "release-child" },
      ])
      : ignore("no child was told to go")(state),
  "stop-called": ignore("the process is stopping already"),
  "drained": (state) => leave({ ...state, drained: true }, [emit("drained")]),
};

/** Nothing of the library is left. */
export const exited: Row<"exited"> = {
  ...lateForStarting,
  ...noChild,
  "ready-called": refuse("ERR_STOPPED", "Cannot become ready: the process has ended its service"),
  "parent-abort": ignore("the process has ended its service"),
  "parent-gone": ignore("the process has ended its service"),
  "upgrade-requested": (state, event) =>
    state.because === "upgraded"
      ? refuse(
        "ERR_ALREADY_UPGRADED",
        "Cannot upgrade: the process was replaced already; ask its successor",
      )(state, event)
      : refuse("ERR_STOPPED", "Cannot upgrade: the process has stopped")(state, event),
  "stop-called": ignore("the process has ended its service"),
  "drained": ignore("the process has ended its service"),
};
