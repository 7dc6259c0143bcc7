/**
 * The owner's rows of the state machine: it serves, and is the parent of its upgrades.
 *
 * @module
 */

import type { Effect, Failure, Probation, State, Upgrading } from "./machine_types.ts";
import {
  answer,
  emit,
  type EventOf,
  gone,
  ignore,
  lateForStarting,
  noChild,
  notPausing,
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

/** The first step: a process is started, or room is made for it. */
function begin({ request, probation, sequential }: EventOf<"upgrade-requested">): Step {
  const state = { name: "upgrading", request, probation } as const;
  return sequential
    ? [{ ...state, paused: true, phase: "pausing" }, [
      { type: "start-timer", timer: "pause" },
      emit("upgrading"),
      { type: "pause-accepting" },
    ]]
    : [{ ...state, paused: false, phase: "spawning" }, [
      { type: "start-timer", timer: "upgrade" },
      emit("upgrading"),
      { type: "spawn" },
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
      : begin(event),
  "stop-called": () => stop(false, []),
  "drained": ignore("the process is serving"),
};

/** Tells the child to go. One that has accepted connections is given the time to finish them. */
function callOff(state: Upgrading | Probation, failure: Failure, accepted: boolean): Step {
  const committed = state.name === "upgrading" && state.phase === "committing";
  const { paused } = state;
  // A child that accepted nothing is gone in a moment: the caller is answered when nothing of it is left. So it is after
  // a pause, whatever it takes: nobody serves before the child has let go of what it holds.
  const answered = accepted && !paused;
  const request = answered ? null : state.request;
  return [
    {
      name: "upgrading",
      request,
      probation: false,
      paused,
      phase: "aborting",
      failure,
      accepted,
      killed: false,
    },
    [
      { type: "clear-timer", timer: "upgrade" },
      { type: "clear-timer", timer: "probation" },
      { type: "abort-child", reason: failure.message },
      { type: "kill-child", signal: "SIGTERM" },
      { type: "start-timer", timer: "kill", patient: accepted },
      ...(committed ? [{ type: "reclaim-names" } as const] : []),
      ...(answered ? [...reject(state.request, failure), emit("upgrade-failed")] : []),
    ],
  ];
}

/** The child is gone: the process serves as if nothing had happened. */
function recover(state: Upgrading | Probation, failure: Failure): Step {
  // Also after an abort: `commit` was on its way, and the child may have taken the names before it read `abort`.
  const committed = state.name === "upgrading" &&
    (state.phase === "committing" || state.phase === "aborting" && state.accepted);
  const after: Effect[] = [
    { type: "clear-timer", timer: "upgrade" },
    { type: "clear-timer", timer: "probation" },
    { type: "clear-timer", timer: "kill" },
    { type: "release-child" },
    ...(committed ? [{ type: "reclaim-names" } as const] : []),
  ];
  if (state.paused) {
    const [next, effects] = resume(state, failure);
    return [next, [...after, ...effects]];
  }
  return [{ name: "serving" }, [
    ...after,
    ...(state.request === null ? [] : [...reject(state.request, failure), emit("upgrade-failed")]),
  ]];
}

/** After a pause: what was released is taken back before anything is accepted. */
function resume({ request }: Upgrading | Probation, failure: Failure): Step {
  return [
    { name: "upgrading", request, probation: false, paused: true, phase: "resuming", failure },
    [{ type: "start-timer", timer: "upgrade" }, { type: "reacquire-resources" }],
  ];
}

/** The same before there was a child: nothing is started any more. */
function turnBack(state: Upgrading, failure: Failure): Step {
  const [next, effects] = resume(state, failure);
  return [next, [
    ...(state.phase === "pausing" ? [{ type: "clear-timer", timer: "pause" } as const] : []),
    { type: "release-child" },
    ...effects,
  ]];
}

/** The process accepts again, whether or not everything was taken back: the application knows what it can answer. */
function resumed(state: Upgrading, failure: Failure, problem: string | null): Step {
  const told = problem === null
    ? failure
    : { ...failure, message: `${failure.message}; afterwards ${problem}` };
  return [{ name: "serving" }, [
    { type: "clear-timer", timer: "upgrade" },
    { type: "resume-accepting" },
    ...reject(state.request, told),
    emit("upgrade-failed"),
    emit("resumed"),
  ]];
}

function interrupt(state: Upgrading | Probation): Step {
  const phase = state.name === "upgrading" ? state.phase : undefined;
  const child = phase !== "pausing" && phase !== "releasing" && phase !== "resuming";
  return stop(child, [
    ...(phase === "pausing" ? [{ type: "clear-timer", timer: "pause" } as const] : []),
    { type: "clear-timer", timer: "upgrade" },
    { type: "clear-timer", timer: "probation" },
    ...(phase === "aborting" || !child ? [] : [
      { type: "abort-child", reason: "the parent was stopped" },
      { type: "kill-child", signal: "SIGTERM" },
      // One that has accepted connections is given the time to finish them.
      {
        type: "start-timer",
        timer: "kill",
        patient: state.name === "probation" || phase === "committing",
      },
    ] as const),
    // While it takes back, it has let go already.
    ...(child || phase === "resuming" ? [] : [{ type: "release-child" } as const]),
    ...reject(state.request, {
      code: "ERR_STOPPED",
      message: "Cannot finish the upgrade: the process was stopped",
    }),
    ...(state.request === null ? [] : [emit("upgrade-failed")]),
  ]);
}

const TIMED_OUT: { readonly [P in Upgrading["phase"]]: string } = {
  pausing: "the process could not be paused within drainTimeoutMs and upgradeTimeoutMs together",
  releasing:
    "the resources were not released within upgradeTimeoutMs; release them sooner or raise upgradeTimeoutMs",
  spawning:
    "the child was not ready within upgradeTimeoutMs and was ended; call ready() sooner or raise upgradeTimeoutMs",
  initialising:
    "the child was not ready within upgradeTimeoutMs and was ended; call ready() sooner or raise upgradeTimeoutMs",
  committing: "the child did not take over within upgradeTimeoutMs and was ended",
  aborting: "the child was told to go",
  resuming: "what had been released was not taken back within upgradeTimeoutMs",
};

function timedOut(phase: Upgrading["phase"]): Failure {
  return { code: "ERR_UPGRADE_TIMEOUT", message: `Cannot upgrade: ${TIMED_OUT[phase]}` };
}

const IN_PROGRESS: { readonly [P in Upgrading["phase"]]: string } = {
  pausing: "a sequential upgrade lets the open connections finish; wait for its outcome",
  releasing: "a sequential upgrade releases the resources; wait for its outcome",
  spawning: "an upgrade is running already; wait for its outcome",
  initialising: "an upgrade is running already; wait for its outcome",
  committing: "an upgrade is running already; wait for its outcome",
  aborting:
    "the last upgrade has failed, and its child is still finishing its connections (drainTimeoutMs at most); try again when it is gone",
  resuming:
    "the last upgrade has failed, and what was released is being taken back; try again in a moment",
};

/** Whether a child is being started, or lives and was not told to go. */
function isWithChild({ phase }: Upgrading): boolean {
  return phase === "spawning" || phase === "initialising" || phase === "committing";
}

/** A child has been started, or is about to be. */
export const upgrading: Row<"upgrading"> = {
  ...lateForStarting,
  "ready-called": refuse("ERR_NOT_READY", "Cannot become ready: the process is ready already"),
  "parent-abort": ignore("this process owns the service and has a child of its own"),
  "parent-gone": gone,
  "upgrade-requested": (state, event) =>
    refuse("ERR_UPGRADE_IN_PROGRESS", `Cannot upgrade: ${IN_PROGRESS[state.phase]}`)(state, event),
  "paused": (state) =>
    state.phase === "pausing"
      ? [{ ...state, phase: "releasing" }, [
        { type: "clear-timer", timer: "pause" },
        { type: "start-timer", timer: "upgrade" },
        emit("paused"),
        { type: "release-resources" },
      ]]
      : ignore("nothing was being paused")(state),
  "pause-failed": (state, event) =>
    state.phase === "pausing"
      ? turnBack(state, event.failure)
      : ignore("nothing was being paused")(state),
  "released": (state) =>
    state.phase === "releasing"
      ? [{ ...state, phase: "spawning" }, [
        { type: "start-timer", timer: "upgrade" },
        emit("released"),
        { type: "spawn" },
      ]]
      : ignore("nothing was being released")(state),
  "release-failed": (state, event) =>
    state.phase === "releasing"
      ? turnBack(state, event.failure)
      : ignore("nothing was being released")(state),
  "reacquired": (state, event) =>
    state.phase === "resuming"
      ? resumed(state, state.failure, event.problem)
      : ignore("nothing was being taken back")(state),
  "spawned": (state) => {
    if (state.phase === "spawning") {
      return [{ ...state, phase: "initialising" }, [emit("spawned")]];
    }
    if (state.phase === "aborting") {
      // The time was over while the process was being started; it must not be left behind.
      return [state, [
        { type: "abort-child", reason: state.failure.message },
        { type: "kill-child", signal: state.killed ? "SIGKILL" : "SIGTERM" },
      ]];
    }
    return ignore("the child was started already")(state);
  },
  "spawn-failed": (state, event) => {
    if (state.phase === "spawning") return recover(state, event.failure);
    // The time was over while the process was being started, and it never came to be.
    if (state.phase === "aborting") return recover(state, state.failure);
    return ignore("the child was started already")(state);
  },
  "child-joined": (state) =>
    state.phase === "initialising"
      ? [state, [emit("child-joined")]]
      : ignore("the child is not expected to join")(state),
  "child-ready": (state) => {
    if (state.phase === "aborting" && !state.accepted && !state.killed) {
      // It was ready before it could read `abort`: it has accepted connections, and is given the time to finish them.
      const answered = state.request !== null && !state.paused;
      return [{ ...state, accepted: true, request: answered ? null : state.request }, [
        { type: "start-timer", timer: "kill", patient: true },
        ...(answered ? [...reject(state.request, state.failure), emit("upgrade-failed")] : []),
      ]];
    }
    if (state.phase !== "initialising") {
      return ignore("the child is not expected to become ready")(state);
    }
    if (state.probation && state.request !== null) {
      return [{ name: "probation", request: state.request, paused: state.paused }, [
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
    isWithChild(state)
      ? callOff(state, event.failure, state.phase === "committing")
      : ignore("there is no child, or it was told to go already")(state),
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
  "child-exited": (state, event) => {
    if (state.phase === "aborting") return recover(state, state.failure);
    return isWithChild(state)
      ? recover(state, event.failure)
      : ignore("there is no child, or it is gone already")(state);
  },
  "timeout": (state) => {
    const failure = timedOut(state.phase);
    switch (state.phase) {
      case "aborting":
        return ignore("the child was told to go already")(state);
      case "pausing":
      case "releasing":
        return turnBack(state, failure);
      case "resuming":
        return resumed(state, state.failure, TIMED_OUT.resuming);
      default:
        return callOff(state, failure, state.phase === "committing");
    }
  },
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
  const why = reason.message.replace(/^Cannot upgrade: /, "");
  return {
    ...reason,
    code: "ERR_ROLLED_BACK",
    message: `Cannot keep the child: ${why}; the old process goes on`,
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
  ...notPausing,
  "spawned": ignore("the child was started already"),
  "spawn-failed": ignore("the child was started already"),
  "child-joined": ignore("the child is ready already"),
  "child-ready": ignore("the child is ready already"),
  "child-failed": (state, event) => callOff(state, rolledBack(event.failure), true),
  "commit-acked": ignore("the child was not told to take over"),
  "child-exited": (state, event) => recover(state, rolledBack(event.failure)),
  "timeout": ignore("the child was ready in time"),
  "kill-timeout": ignore("the child was not told to go"),
  "probation-over": (state) => [
    {
      name: "upgrading",
      request: state.request,
      probation: false,
      paused: state.paused,
      phase: "committing",
    },
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
