/**
 * What a row of the table of deaths says.
 *
 * @module
 */

/** Who is struck. */
export type Who = "parent" | "child";

/**
 * When: at the first line of the program, when `create()` has returned, or at the moment before a frame that was read is
 * told, or before one that is written leaves. A child tells its parent with frames of its own that it has joined
 * (`x-joined`) and that it knows of its probation (`x-probation`); unknown types are ignored by the protocol.
 */
export type Point = "starts" | "has joined" | `reads ${string}` | `writes ${string}`;

/** What happens there. */
export type Act =
  /** SIGKILL. */
  | "is killed"
  /** SIGSTOP, until the step `continue`. */
  | "is stopped"
  /** The event loop does not turn until the step `continue`. */
  | "blocks"
  /** The event loop never turns again. */
  | "blocks for good"
  | "exits"
  /** Says something that is no frame, first. */
  | "says garbage"
  /** Says a line of two mebibytes, first. */
  | "says a huge frame"
  /** Says the first half of a frame, and is killed. */
  | "says half a frame and is killed"
  /** Says the first half of a frame, and nothing more. */
  | "says half a frame and no more"
  /** The folder of the PID file is removed. */
  | "loses its PID file's folder";

/** What the player does, one after the other, once the upgrade was asked for. */
export type Step =
  /** Waits until the fault has happened. */
  | "struck"
  /** Fresh connections are answered. */
  | "serves"
  /** Fresh connections are answered, in the end by the child. */
  | "child serves"
  /** The deadline of the parent is over. */
  | "deadline"
  /** The probation is over. */
  | "probation is over"
  /** The parent's patience with a child that had accepted is over. */
  | "patience is over"
  /** What was stopped goes on, what blocked turns again. */
  | "continue"
  /** Asks for another upgrade while one runs. */
  | "asks again"
  /** Waits until the caller was told. */
  | "told"
  /** `stop()` in the parent. */
  | "stop"
  /** SIGKILL for who was struck. */
  | "kill"
  /** The load ends, because the service will. */
  | "load ends";

/** What is wrong with the world in which the upgrade is asked for. */
export type Trouble =
  | "no such program"
  | "a program that may not be executed"
  | "no descriptor left"
  | "no memory"
  | "PID file's folder gone"
  | "PID file's folder read-only"
  | "disk full";

/** One row. */
export interface Row {
  /** Reads as a promise. */
  readonly title: string;
  readonly fault?: {
    readonly who: Who;
    readonly at: Point;
    readonly act: Act;
    /** The deadline passes in the very moment in which the process goes on, before it reads what was said meanwhile. */
    readonly late?: boolean;
  };
  readonly trouble?: Trouble;
  /** Whether the child is watched before it is kept. */
  readonly probation?: boolean;
  /** Default: `struck` where there is a fault, then `told` unless the parent was killed. */
  readonly steps?: readonly Step[];
  /** What the caller is told, in order; `upgraded`, or a code. Nothing where the parent was killed. */
  readonly told: readonly string[];
  /** Who serves afterwards, alone. */
  readonly owner: Who | "nobody";
  /**
   * Requests that may be lost: none; those that were inside the process that was killed; `"queue"`: also those that
   * waited in the queue of a socket when its last owner closed it.
   */
  readonly lost: "none" | "inside" | "queue";
}
