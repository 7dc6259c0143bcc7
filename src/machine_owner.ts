/**
 * The owner's rows of the state machine: it serves, and is the parent of its upgrades.
 *
 * @module
 */

import type { Failure, Probation, State, Upgrading } from "./machine_types.ts";
import {
  answer,
  emit,
  type EventOf,
  gone,
  ignore,
  lateForStarting,
  noChild,
  refuse,
  reject,
  type Row,
  type Step,
  stop,
} from "./machine_rows.ts";

/** The parent took it all back, after `owned` had been said: it is the owner, this process leaves. */
function revoked(_state: State, event: EventOf<"parent-abort">): Step {
  return [{ name: "stopping", because: "aborted", child: false, drained: false }, [
    { type: "ignore", because: `the parent called the upgrade off: ${event.reason}` },
    { type: "stop-accepting" },
    { type: "resolve-exit", reason: "stopped" },
    emit("aborted"),
  ]];
}

/** The owner of the service. */
export const serving: Row<"serving"> = {
  ...lateForStarting,
  ...noChild,
  "ready-called": refuse("ERR_NOT_READY", "Cannot become ready: the process is ready already"),
  "parent-abort": revoked,
  "parent-gone": gone,
  "upgrade-requested": (state, event) =>
    event.draining > event.maxDraining
      ? refuse(
        "ERR_TOO_MANY_GENERATIONS",
        `Cannot upgrade: ${event.draining} older generations are still draining, more than maxDraining (${event.maxDraining}); wait for them or raise maxDraining`,
      )(state, event)
      : [
        {
          name: "upgrading",
          request: event.request,
          probation: event.probation,
          phase: "spawning",
        },
        [{ type: "start-timer", timer: "upgrade" }, emit("upgrading"), { type: "spawn" }],
      ],
  "stop-called": () => stop(false, []),
  "drained": ignore("the process is serving"),
};

/** Tells the child to go. One that has accepted connections is given the time to finish them. */
function callOff(state: Upgrading | Probation, failure: Failure, accepted: boolean): Step {
  const committed = state.name === "upgrading" && state.phase === "committing";
  // A child that accepted nothing is gone in a moment: the caller is answered when nothing of it is left.
  const request = accepted ? null : state.request;
  return [
    { name: "upgrading", request, probation: false, phase: "aborting", failure, killed: false },
    [
      { type: "clear-timer", timer: "upgrade" },
      { type: "clear-timer", timer: "probation" },
      { type: "abort-child", reason: failure.message },
      { type: "kill-child", signal: "SIGTERM" },
      { type: "start-timer", timer: "kill", patient: accepted },
      ...(committed ? [{ type: "reclaim-names" } as const] : []),
      ...(accepted ? [...reject(state.request, failure), emit("upgrade-failed")] : []),
    ],
  ];
}

/** The child is gone: the process serves as if nothing had happened. */
function recover(state: Upgrading | Probation, failure: Failure): Step {
  // Also after an abort: `commit` was on its way, and the child may have taken the names before it read `abort`.
  const committed = state.name === "upgrading" &&
    (state.phase === "committing" || state.phase === "aborting" && state.request === null);
  return [{ name: "serving" }, [
    { type: "clear-timer", timer: "upgrade" },
    { type: "clear-timer", timer: "probation" },
    { type: "clear-timer", timer: "kill" },
    { type: "release-child" },
    ...(committed ? [{ type: "reclaim-names" } as const] : []),
    ...(state.request === null ? [] : [...reject(state.request, failure), emit("upgrade-failed")]),
  ]];
}

function interrupt(state: Upgrading | Probation): Step {
  const aborting = state.name === "upgrading" && state.phase === "aborting";
  return stop(true, [
    { type: "clear-timer", timer: "upgrade" },
    { type: "clear-timer", timer: "probation" },
    ...(aborting ? [] : [
      { type: "abort-child", reason: "the parent was stopped" },
      { type: "kill-child", signal: "SIGTERM" },
      { type: "start-timer", timer: "kill" },
    ] as const),
    ...reject(state.request, {
      code: "ERR_STOPPED",
      message: "Cannot finish the upgrade: the process was stopped",
    }),
    ...(state.request === null ? [] : [emit("upgrade-failed")]),
  ]);
}

function timedOut(phase: "spawning" | "initialising" | "committing"): Failure {
  return {
    code: "ERR_UPGRADE_TIMEOUT",
    message: phase === "committing"
      ? "Cannot upgrade: the child did not take over within upgradeTimeoutMs and was ended"
      : "Cannot upgrade: the child was not ready within upgradeTimeoutMs and was ended; call ready() sooner or raise upgradeTimeoutMs",
  };
}

/** A child has been started. */
export const upgrading: Row<"upgrading"> = {
  ...lateForStarting,
  "ready-called": refuse("ERR_NOT_READY", "Cannot become ready: the process is ready already"),
  "parent-abort": ignore("this process owns the service and has a child of its own"),
  "parent-gone": gone,
  "upgrade-requested": refuse(
    "ERR_UPGRADE_IN_PROGRESS",
    "Cannot upgrade: an upgrade is running already; wait for its outcome",
  ),
  "spawned": (state) => {
    if (state.phase === "spawning") {
      return [{ ...state, phase: "initialising" }, [emit("spawned")]];
    }
    if (state.phase === "aborting") {
      // The time was over while the process was being started; it must not be left behind.
      return [state, [{ type: "abort-child", reason: state.failure.message }, {
        type: "kill-child",
        signal: "SIGTERM",
      }]];
    }
    return ignore("the child was started already")(state);
  },
  "spawn-failed": (state, event) => {
    if (state.phase === "spawning") return recover(state, event.failure);
    // The time was over while the process was being started, and it never came to be.
    if (state.phase === "aborting") return recover(state, state.failure);
    return ignore("the child was started already")(state);
  },
  "child-ready": (state) => {
    if (state.phase !== "initialising") {
      return ignore("the child is not expected to become ready")(state);
    }
    if (state.probation && state.request !== null) {
      return [{ name: "probation", request: state.request }, [
        { type: "clear-timer", timer: "upgrade" },
        { type: "start-timer", timer: "probation" },
        { type: "send-child", frame: "probation" },
        emit("child-ready"),
      ]];
    }
    return [{ ...state, phase: "committing" }, [
      emit("child-ready"),
      { type: "send-child", frame: "commit" },
      emit("committing"),
    ]];
  },
  "child-failed": (state, event) =>
    state.phase === "aborting"
      ? ignore("the child was told to go already")(state)
      : callOff(state, event.failure, state.phase === "committing"),
  "commit-acked": (state) => {
    if (state.phase !== "committing") return ignore("the child was not told to take over")(state);
    return [{ name: "draining" }, [
      { type: "clear-timer", timer: "upgrade" },
      { type: "stop-accepting" },
      { type: "leave-names" },
      { type: "release-child" },
      ...answer(state.request),
      { type: "resolve-exit", reason: "upgraded" },
      emit("upgraded"),
    ]];
  },
  "child-exited": (state, event) =>
    recover(state, state.phase === "aborting" ? state.failure : event.failure),
  "timeout": (state) =>
    state.phase === "aborting"
      ? ignore("the child was told to go already")(state)
      : callOff(state, timedOut(state.phase), state.phase === "committing"),
  "kill-timeout": (state) => {
    if (state.phase !== "aborting") return ignore("the child was not told to go")(state);
    // SIGKILL ends every process that can be ended; what the kernel holds back is not waited for.
    return state.killed ? recover(state, state.failure) : [{ ...state, killed: true }, [
      { type: "kill-child", signal: "SIGKILL" },
      { type: "start-timer", timer: "kill" },
    ]];
  },
  "probation-over": ignore("no child is on probation"),
  "stop-called": interrupt,
  "drained": ignore("the process is serving"),
};

function rolledBack(reason: Failure): Failure {
  return {
    ...reason,
    code: "ERR_ROLLED_BACK",
    message: `Cannot keep the child: ${reason.message}; the old process goes on`,
  };
}

/** The child is ready and watched. */
export const probation: Row<"probation"> = {
  ...lateForStarting,
  "ready-called": refuse("ERR_NOT_READY", "Cannot become ready: the process is ready already"),
  "parent-abort": ignore("this process owns the service and has a child of its own"),
  "parent-gone": gone,
  "upgrade-requested": refuse(
    "ERR_UPGRADE_IN_PROGRESS",
    "Cannot upgrade: an upgrade is in its probation; wait for its outcome",
  ),
  "spawned": ignore("the child was started already"),
  "spawn-failed": ignore("the child was started already"),
  "child-ready": ignore("the child is ready already"),
  "child-failed": (state, event) => callOff(state, rolledBack(event.failure), true),
  "commit-acked": ignore("the child was not told to take over"),
  "child-exited": (state, event) => recover(state, rolledBack(event.failure)),
  "timeout": ignore("the child was ready in time"),
  "kill-timeout": ignore("the child was not told to go"),
  "probation-over": (state) => [
    { name: "upgrading", request: state.request, probation: false, phase: "committing" },
    [
      { type: "clear-timer", timer: "probation" },
      { type: "start-timer", timer: "upgrade" },
      { type: "send-child", frame: "commit" },
      emit("committing"),
    ],
  ],
  "stop-called": interrupt,
  "drained": ignore("the process is serving"),
};
