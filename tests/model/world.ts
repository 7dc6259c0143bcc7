/**
 * The world that is explored: processes, what lies between them, and who has the names.
 *
 * @module
 */

import type { RequestId, State, TimerName } from "../../src/machine.ts";
import type { Letter } from "./subject.ts";

/** One process and its channel to its parent. */
export interface Process {
  /** Its place in {@linkcode World.processes}; it is called by this number plus one. */
  readonly id: number;
  /** Who started it; -1: a user. */
  readonly parent: number;
  readonly generation: number;
  readonly isAlive: boolean;
  /** Stopped by SIGSTOP: it does nothing until SIGKILL. */
  readonly isFrozen: boolean;
  /** Whether it has read `hello`, or has found out that there will be none. */
  readonly hasJoined: boolean;
  readonly state: State;
  readonly timers: readonly TimerName[];
  readonly accepting: boolean;
  /** Whether the listeners are being opened. */
  readonly opening: boolean;
  /** From then on SIGTERM is a stop and not the end. */
  readonly hasAccepted: boolean;
  /** Calls of `ready()` and `upgrade()` that wait. */
  readonly waiting: readonly RequestId[];
  readonly readyCalls: number;
  readonly upgradeCalls: number;
  /** The child that it is starting: its command is being made up, its process is being started. */
  readonly spawning: "no" | "command" | "process";
  /** Its last child; -1: none. */
  readonly child: number;
  /** Whether it has let go of the last attempt. */
  readonly over: boolean;
  /** Effects that come once in a life: `exit` resolved, descriptors closed, everything disposed. */
  readonly once: string;
  /** Signals that have not arrived. */
  readonly signals: readonly string[];
  /** Frames from and to its parent that have not been read. */
  readonly down: readonly Letter[];
  readonly up: readonly Letter[];
  /** What its parent has sent, and what it has sent: each at most once. */
  readonly told: readonly string[];
  /** The channel is torn although both ends live. */
  readonly isTorn: boolean;
  /** Whether it has noticed the end of its parent. */
  readonly endNoticed: boolean;
  /** Whether its parent has noticed its end, or the end of the channel. */
  readonly exitNoticed: boolean;
  readonly tearNoticed: boolean;
  /** Whether its parent has said `abort`, or signalled it. */
  readonly calledOff: boolean;
  /** Whether it has ever had the names. */
  readonly hasOwned: boolean;
}

/** Everything. */
export interface World {
  readonly processes: readonly Process[];
  /** Whose number is in the PID file; -1: nobody's. */
  readonly pidFile: number;
  /** Whether the path of the Unix socket is there. */
  readonly hasPath: boolean;
  /** How much has gone wrong. */
  readonly troubles: number;
  /** The user has stopped the service. */
  readonly meantToEnd: boolean;
  /** The only process that accepted was killed. */
  readonly wasKilled: boolean;
  /** An owner was killed that had said so, and whose parent had not read it yet. */
  readonly ownerWasKilled: boolean;
  /** A PID file could not be written. */
  readonly namesFailed: boolean;
  /** And the process did not know yet that its parent, to which it left the service, had died. */
  readonly failedUnaware: boolean;
  /** A channel was torn between two living processes. */
  readonly wasTorn: boolean;
}

/** A world that is being changed. */
export type Draft = { -readonly [K in keyof World]: World[K] };

/** Returns the world with one process changed. */
export function change(world: World, id: number, changes: Partial<Process>): World {
  const processes = [...world.processes];
  processes[id] = { ...processes[id] as Process, ...changes };
  return { ...world, processes };
}

const LEAVING: readonly string[] = ["draining", "stopping", "exited"];

/** Whether a process has let go of its sockets. */
export function isLeaving({ state }: Process): boolean {
  return LEAVING.includes(state.name);
}

const keys = new WeakMap<Process, string>();

function keyOfProcess(process: Process): string {
  let key = keys.get(process);
  if (key === undefined) {
    const { down, up, state, ...rest } = process;
    const failure = "failure" in state ? state.failure.code : "";
    key = JSON.stringify([
      Object.values({ ...state, failure }),
      down.map(({ name }) => name),
      up.map(({ name }) => name),
      ...Object.values(rest),
    ]);
    keys.set(process, key);
  }
  return key;
}

/** What tells one world from another. */
export function keyOf(world: World): string {
  const { processes, ...rest } = world;
  return processes.map(keyOfProcess).join("|") + Object.values(rest).join(",");
}

/** How a process looks in a story. */
export function show(process: Process): string {
  const { state, isAlive } = process;
  if (!isAlive) return "dead";
  if (!process.hasJoined) return "starting (has not read hello)";
  const details = Object.entries(state).flatMap(([key, value]) =>
    key === "name" || value === null || typeof value === "object" ? [] : [`${key} ${value}`]
  );
  const more = [
    ...details,
    ...(process.accepting ? ["accepts"] : []),
    ...(process.opening ? ["opening"] : []),
    ...(process.spawning === "no" ? [] : [`starting a ${process.spawning}`]),
    ...(process.isFrozen ? ["frozen"] : []),
    ...process.timers.map((timer) => `timer ${timer}`),
    ...process.waiting.map((request) => `request ${request} waits`),
  ];
  return `${state.name}${more.length === 0 ? "" : ` (${more.join(", ")})`}`;
}
