/**
 * The state machine of one process: `(state, event) -> [state, effects]`.
 *
 * Pure: no I/O, no timers, no runtime names. Effects are data; `upgrader.ts` carries them out in order. Every state
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

import type { ErrorCode } from "./errors.ts";
import type {
  Effect,
  Event,
  Failure,
  LifecycleEvent,
  Probation,
  RequestId,
  Serving,
  Starting,
  State,
  Stopping,
  Upgrading,
} from "./machine_types.ts";

export type * from "./machine_types.ts";

/** The result of one step. */
export type Step = readonly [State, readonly Effect[]];

type EventOf<E extends Event["type"]> = Extract<Event, { type: E }>;
type StateOf<S extends State["name"]> = Extract<State, { name: S }>;
type Handler<S extends State["name"], E extends Event["type"]> = (
  state: StateOf<S>,
  event: EventOf<E>,
) => Step;
type Row<S extends State["name"]> = { readonly [E in Event["type"]]: Handler<S, E> };

/** The state in which a process begins. */
export function initialState(hasParent: boolean): State {
  return {
    name: "starting",
    parent: hasParent ? "alive" : "none",
    phase: "initialising",
    ready: null,
  };
}

const SERVING: Serving = { name: "serving" };

const ignore = (because: string) => (state: State): Step => [state, [{ type: "ignore", because }]];

const refuse = (code: ErrorCode, message: string) =>
(
  state: State,
  event: EventOf<"ready-called"> | EventOf<"upgrade-requested">,
): Step => [state, [{ type: "reject", request: event.request, failure: { code, message } }]];

const emit = (event: LifecycleEvent): Effect => ({ type: "emit", event });

function reject(request: RequestId | null, failure: Failure): Effect[] {
  return request === null ? [] : [{ type: "reject", request, failure }];
}

function answer(request: RequestId | null): Effect[] {
  return request === null ? [] : [{ type: "resolve", request }];
}

// The child's side.

/** Leaves before having become the owner. What was accepted, if anything, is drained by `drain()`. */
function abandon(state: Starting, because: "stopped" | "aborted", failure: Failure): Step {
  return [
    { name: "stopping", because, child: false, drained: false },
    [
      ...reject(state.ready, failure),
      { type: "stop-accepting" },
      { type: "close-inherited" },
      ...(state.parent === "alive" ? [] : [{ type: "remove-names" } as const]),
      { type: "resolve-exit", reason: "stopped" },
      emit(because === "aborted" ? "aborted" : "stopping"),
    ],
  ];
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

const starting: Row<"starting"> = {
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
      ? [{ ...state, phase: "initialising", ready: null }, [
        { type: "fail-to-parent", failure: event.failure },
        ...reject(state.ready, event.failure),
      ]]
      : [{ ...state, phase: "initialising", ready: null }, reject(state.ready, event.failure)];
  },
  "names-taken": (state) => {
    if (state.phase !== "owning") return ignore("no name was being taken over")(state);
    return [SERVING, [
      ...(state.parent === "alive" ? [{ type: "send-parent", frame: "owned" } as const] : []),
      ...answer(state.ready),
      emit("ready"),
    ]];
  },
  "names-failed": (state, event) => {
    if (state.phase !== "owning") return ignore("no name was being taken over")(state);
    switch (state.parent) {
      case "alive": {
        // The parent still accepts and still has the names: it goes on, this process leaves.
        const [next, effects] = abandon(state, "aborted", event.failure);
        return [next, [{ type: "fail-to-parent", failure: event.failure }, ...effects]];
      }
      case "none":
        return [
          { ...state, phase: "initialising", ready: null },
          reject(state.ready, event.failure),
        ];
      case "gone":
        // Nobody else is left: serving without a PID file beats not serving. The failure is logged.
        return [SERVING, [...answer(state.ready), emit("ready")]];
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
  "spawned": ignore("no child was started"),
  "spawn-failed": ignore("no child was started"),
  "child-ready": ignore("no child was started"),
  "child-failed": ignore("no child was started"),
  "commit-acked": ignore("no child was started"),
  "child-exited": ignore("no child was started"),
  "timeout": ignore("no upgrade is running"),
  "kill-timeout": ignore("no child was told to go"),
  "probation-over": ignore("no child is on probation"),
  "stop-called": (state) => {
    const failure: Failure = {
      code: "ERR_STOPPED",
      message: "Cannot become ready: the process was stopped",
    };
    const [next, effects] = abandon(state, "stopped", failure);
    return state.parent === "alive"
      ? [next, [{ type: "fail-to-parent", failure }, ...effects]]
      : [next, effects];
  },
  "drained": ignore("nothing drains before ready"),
};

// The owner.

/** Events of a child's life in the states that follow `starting`. */
const lateForStarting = {
  "opened": ignore("the listeners are open already"),
  "open-failed": ignore("the listeners are open already"),
  "names-taken": ignore("the names were taken already"),
  "names-failed": ignore("the names were taken already"),
  "parent-probation": ignore("the parent has committed already"),
  "parent-commit": ignore("the parent has committed already"),
} as const;

const gone = (state: State): Step => [state, [emit("parent-gone")]];

const noChild = {
  "spawned": ignore("no child was started"),
  "spawn-failed": ignore("no child was started"),
  "child-ready": ignore("no child was started"),
  "child-failed": ignore("no child was started"),
  "commit-acked": ignore("no child was started"),
  "child-exited": ignore("no child was started"),
  "timeout": ignore("no upgrade is running"),
  "kill-timeout": ignore("no child was told to go"),
  "probation-over": ignore("no child is on probation"),
} as const;

function stop(child: boolean, before: readonly Effect[]): Step {
  return [{ name: "stopping", because: "stopped", child, drained: false }, [
    ...before,
    { type: "stop-accepting" },
    { type: "remove-names" },
    { type: "resolve-exit", reason: "stopped" },
    emit("stopping"),
  ]];
}

/** The parent took it all back, after `owned` had been said: it is the owner, this process leaves. */
function revoked(_state: State, event: EventOf<"parent-abort">): Step {
  return [{ name: "stopping", because: "aborted", child: false, drained: false }, [
    { type: "ignore", because: `the parent called the upgrade off: ${event.reason}` },
    { type: "stop-accepting" },
    { type: "resolve-exit", reason: "stopped" },
    emit("aborted"),
  ]];
}

const serving: Row<"serving"> = {
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

// The parent's side.

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
  return [SERVING, [
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

const upgrading: Row<"upgrading"> = {
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

const probation: Row<"probation"> = {
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

// Leaving.

const draining: Row<"draining"> = {
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

const stopping: Row<"stopping"> = {
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
      { type: "release-child" },
    ]),
  "kill-timeout": (state) =>
    state.child
      ? leave({ ...state, child: false }, [
        { type: "kill-child", signal: "SIGKILL" },
        { type: "release-child" },
      ])
      : ignore("no child was told to go")(state),
  "stop-called": ignore("the process is stopping already"),
  "drained": (state) => leave({ ...state, drained: true }, [emit("drained")]),
};

const exited: Row<"exited"> = {
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
