/**
 * The words of the state machine: states, events and effects. Each state holds only the fields that are valid in it.
 *
 * @module
 */

import type { ErrorCode } from "./errors.ts";

/** Identifies one call of `ready()` or `upgrade()` that waits for its answer. */
export type RequestId = number;

/** What a child knows of its parent. */
export type ParentView = "none" | "alive" | "gone";

/**
 * Before the first `ready()` has been answered.
 *
 * - `initialising`: the application has not called `ready()`
 * - `opening`: the listeners are being opened
 * - `announced`: the parent was told `ready`
 * - `probation`: both processes accept, the parent watches; `ready()` was answered
 * - `owning`: PID file and Unix paths are being taken over
 */
export interface Starting {
  readonly name: "starting";
  readonly parent: ParentView;
  readonly phase: "initialising" | "opening" | "announced" | "probation" | "owning";
  /** The call of `ready()` that waits, if one does. */
  readonly ready: RequestId | null;
}

/** The owner of the service. */
export interface Serving {
  readonly name: "serving";
}

/** Why an upgrade fails. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  /** The last words of the child. */
  readonly childOutput?: string;
  readonly exitCode?: number;
  readonly signal?: string;
}

/**
 * An upgrade is under way; this process accepts all the while, unless the upgrade is a sequential one.
 *
 * - `pausing`: clients wait in the kernel's queue, the open connections are finishing
 * - `releasing`: the application lets go of what only one process may hold
 * - `spawning`: the process is being started
 * - `initialising`: it runs and has not said `ready` (state hand-over belongs here)
 * - `committing`: it was told `commit` and has not said `owned`
 * - `aborting`: it was told to go and has not gone
 * - `resuming`: it is gone, and the application takes back what it has released
 */
export type Upgrading =
  & {
    readonly name: "upgrading";
    /** `null` once the request has been answered. */
    readonly request: RequestId | null;
    /** Whether the child is to be watched before commit. */
    readonly probation: boolean;
    /** Whether this process has stopped accepting until the outcome is known: a sequential upgrade. */
    readonly paused: boolean;
  }
  & (
    | { readonly phase: "spawning" | "initialising" | "committing" }
    | { readonly phase: "pausing" | "releasing"; readonly paused: true }
    | {
      readonly phase: "aborting";
      readonly failure: Failure;
      /** Whether the child had said that it was ready. */
      readonly accepted: boolean;
      /** How often patience has ended: 0 after SIGTERM, 1 after SIGKILL. */
      readonly killed: boolean;
    }
    | { readonly phase: "resuming"; readonly paused: true; readonly failure: Failure }
  );

/** The child is ready and watched; both processes accept, or in a sequential upgrade the child alone. */
export interface Probation {
  readonly name: "probation";
  readonly request: RequestId;
  /** See {@linkcode Upgrading}. */
  readonly paused: boolean;
}

/** Replaced: the successor owns the service, the open connections finish. */
export interface Draining {
  readonly name: "draining";
}

/** Stopped: nobody takes over, the open connections finish. */
export interface Stopping {
  readonly name: "stopping";
  /** Why the process stops: on request, or called off by its parent. */
  readonly because: "stopped" | "aborted";
  /** Whether a child of an interrupted upgrade has not gone yet. */
  readonly child: boolean;
  /** Whether the last connection is finished. */
  readonly drained: boolean;
}

/** All connections are finished; nothing of the library is left. */
export interface Exited {
  readonly name: "exited";
  readonly because: "upgraded" | "stopped" | "aborted";
}

/** Every state of the machine. */
export type State = Starting | Serving | Upgrading | Probation | Draining | Stopping | Exited;

/** Names of the states, as `status()` tells them. */
export type StateName =
  | "starting"
  | "serving"
  | "upgrading"
  | "probation"
  | "draining"
  | "stopping"
  | "exited";

/** Everything that can happen to a process. */
export type Event =
  /** The application called `ready()`. */
  | { readonly type: "ready-called"; readonly request: RequestId }
  /** All listeners accept. */
  | { readonly type: "opened" }
  /** A listener could not be opened. */
  | { readonly type: "open-failed"; readonly failure: Failure }
  /** PID file and Unix paths are this process's. */
  | { readonly type: "names-taken" }
  /** A name could not be taken over. */
  | { readonly type: "names-failed"; readonly failure: Failure }
  /** The parent said `probation`. */
  | { readonly type: "parent-probation" }
  /** The parent said `commit`. */
  | { readonly type: "parent-commit" }
  /** The parent said `abort`, or something that is not the protocol. */
  | { readonly type: "parent-abort"; readonly reason: string }
  /** The application called `fail()`. */
  | { readonly type: "fail-called"; readonly reason: string }
  /** The parent process has ended. */
  | { readonly type: "parent-gone" }
  /** `upgrade()` was called, or a signal or control request asked for it. */
  | {
    readonly type: "upgrade-requested";
    readonly request: RequestId;
    readonly probation: boolean;
    /** Whether this process is to stop before the child begins. */
    readonly sequential: boolean;
    /** Older generations that still drain, and how many may. */
    readonly draining: number;
    readonly maxDraining: number;
  }
  /** Nothing is accepted any more, and the connections are finished or their time is over. */
  | { readonly type: "paused" }
  /** A listener cannot be paused, or what is to be started cannot be started. */
  | { readonly type: "pause-failed"; readonly failure: Failure }
  /** The application has let go of what only one process may hold. */
  | { readonly type: "released" }
  | { readonly type: "release-failed"; readonly failure: Failure }
  /** The application has taken it back; `problem` says what it could not. */
  | { readonly type: "reacquired"; readonly problem: string | null }
  | { readonly type: "spawned" }
  | { readonly type: "spawn-failed"; readonly failure: Failure }
  /** The child has understood what it inherits. */
  | { readonly type: "child-joined" }
  | { readonly type: "child-ready" }
  /** The child said `fail`, or something that is not the protocol. */
  | { readonly type: "child-failed"; readonly failure: Failure }
  /** The child said `owned`. */
  | { readonly type: "commit-acked" }
  /** The child process has ended. */
  | { readonly type: "child-exited"; readonly failure: Failure }
  /** `upgradeTimeoutMs` is over, in a sequential upgrade that of the step. */
  | { readonly type: "timeout" }
  /** A child that was told to go is still there. */
  | { readonly type: "kill-timeout" }
  /** `probationMs` is over, or `confirm()` was called. */
  | { readonly type: "probation-over" }
  | { readonly type: "stop-called" }
  /** The last connection is finished or was cut. */
  | { readonly type: "drained" };

/** The timers of the machine; their lengths are the interpreter's. */
export type TimerName = "pause" | "upgrade" | "probation" | "kill";

/** What is to be done, in this order. */
export type Effect =
  /** Leave clients in the kernel's queue and let the connections finish; answers with `paused` or `pause-failed`. */
  | { readonly type: "pause-accepting" }
  /** Let the application release what only one process may hold; answers with `released` or `release-failed`. */
  | { readonly type: "release-resources" }
  /** Let it take back what it has released, if it has; answers with `reacquired`. */
  | { readonly type: "reacquire-resources" }
  /** Accept again; a failure is only logged. */
  | { readonly type: "resume-accepting" }
  /** Start the child and say `hello`; answers with `spawned` or `spawn-failed`. */
  | { readonly type: "spawn" }
  | { readonly type: "send-child"; readonly frame: "probation" | "commit" }
  | { readonly type: "abort-child"; readonly reason: string }
  | { readonly type: "send-parent"; readonly frame: "ready" | "owned" }
  | { readonly type: "fail-to-parent"; readonly failure: Failure }
  | { readonly type: "kill-child"; readonly signal: "SIGTERM" | "SIGKILL" }
  | { readonly type: "start-timer"; readonly timer: TimerName; readonly patient?: boolean }
  | { readonly type: "clear-timer"; readonly timer: TimerName }
  /** Close the inherited descriptors that nobody claimed. */
  | { readonly type: "close-inherited" }
  /** Open all listeners; answers with `opened` or `open-failed`. */
  | { readonly type: "start-accepting" }
  /** Close all listeners and leave their connections alone. */
  | { readonly type: "stop-accepting" }
  /** Write the PID file, own the Unix paths; answers with `names-taken` or `names-failed`. */
  | { readonly type: "take-names" }
  /** The child had the names and is gone: take them back; a failure is only logged. */
  | { readonly type: "reclaim-names" }
  /** The successor has the names; remove the Unix paths that it did not take over. */
  | { readonly type: "leave-names" }
  /** Remove the PID file and the Unix paths: nobody serves them any more. */
  | { readonly type: "remove-names" }
  | { readonly type: "resolve"; readonly request: RequestId }
  | { readonly type: "reject"; readonly request: RequestId; readonly failure: Failure }
  | { readonly type: "resolve-exit"; readonly reason: "upgraded" | "stopped" }
  /** Let go of the child: it lives on its own. */
  | { readonly type: "release-child" }
  /** Give back signal handlers, timers and channels. */
  | { readonly type: "dispose" }
  | { readonly type: "emit"; readonly event: LifecycleEvent }
  | { readonly type: "ignore"; readonly because: string };

/** The steps that are told to the outside. */
export type LifecycleEvent =
  | "ready"
  | "upgrading"
  | "paused"
  | "released"
  | "spawned"
  | "child-joined"
  | "child-ready"
  | "committing"
  | "upgraded"
  | "upgrade-failed"
  | "resumed"
  | "stopping"
  | "aborted"
  | "parent-gone"
  | "drained";
