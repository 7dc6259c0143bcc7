/**
 * The world that is explored: processes, what lies between them, and who has the names.
 *
 * @module
 */

import type { RequestId, State, TimerName } from "../../src/machine.ts";
import { hash } from "./known.ts";
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
  /** What takes its time in sequential upgrades, in the order in which it began. */
  readonly work: readonly Work[];
  /** Whether it holds what only one process may hold; explored where all upgrades are sequential. */
  readonly holds: boolean;
  /** Whether it has begun to release that, and has not taken it back. */
  readonly hasReleased: boolean;
  /** Whether it serves although it could not take that back in time, or not at all. */
  readonly doesWithout: boolean;
  /** See {@linkcode keyOfProcess}; 0: nobody has asked yet. */
  key: number;
}

/** A step of a sequential upgrade that takes its time. */
export interface Work {
  /** Listeners are being paused; connections are finishing; the application releases, or takes back. */
  readonly what: "pause" | "finish" | "release" | "reacquire";
  /** Whether nobody waits for it any more. */
  readonly isLate: boolean;
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
  /** It, or a listener that did not open, was one too many: the parent, to which the service was left, had died unheard. */
  readonly failedUnaware: boolean;
  /** Somebody has accepted. */
  readonly hasBegun: boolean;
  /** A channel was torn between two living processes. */
  readonly wasTorn: boolean;
}

/** A world that is being changed. */
export type Draft = { -readonly [K in keyof World]: World[K] };

/** Returns the world with one process changed. */
export function change(world: World, id: number, changes: Partial<Process>): World {
  const processes = [...world.processes];
  // Twice as fast as two spreads.
  processes[id] = Object.assign({ ...processes[id] as Process, key: 0 }, changes);
  return { ...world, processes };
}

/** Whether clients wait in the kernel's queue for it or its child, in a sequential upgrade. */
export function isPaused({ isAlive, state }: Process): boolean {
  return isAlive && "paused" in state && state.paused;
}

const LEAVING: readonly string[] = ["draining", "stopping", "exited"];

/** Whether a process has let go of its sockets. */
export function isLeaving({ state }: Process): boolean {
  return LEAVING.includes(state.name);
}

/** What tells one process from another, besides whose parent and child it is. */
export function keyOfProcess(process: Process): number {
  if (process.key === 0) {
    let text = "";
    let field: keyof Process;
    for (field in process) text += `${keyOfField(process, field)};`;
    process.key = hash(text);
  }
  return process.key;
}

function keyOfField(process: Process, field: keyof Process): unknown {
  switch (field) {
    case "id":
    case "parent":
    case "child":
    case "generation":
      // Who is called how tells no two processes apart.
      return "";
    case "state":
      return Object.values(process.state).map((value) =>
        value !== null && typeof value === "object" ? value.code : value
      );
    case "told":
      // When it was told does not matter.
      return [...process.told].sort();
    case "down":
    case "up":
      return process[field].map(({ name }) => name);
    case "work":
      return process.work.map(({ what, isLate }) => isLate ? `late ${what}` : what);
    default:
      return process[field];
  }
}

/**
 * What tells one world from another.
 *
 * A dead process counts as long as its parent waits for it. Afterwards nobody can learn anything of it, so its place is
 * left out, and the others move up: only their number has to be known, which is bounded.
 */
export function keyOf(world: World): number {
  const { processes, pidFile } = world;
  const places: number[] = [];
  let count = 0;
  for (const { id, parent, isAlive } of processes) {
    const counts = isAlive || isWaitedFor(processes, id, parent);
    places.push(counts ? count++ : -1);
  }
  const key = [processes.length, pidFile === -1 ? -2 : places[pidFile] as number];
  for (const process of processes) {
    const { id, parent, child, over } = process;
    if (places[id] === -1) continue;
    key.push(keyOfProcess(process));
    key.push(processes[parent]?.isAlive ? places[parent] as number : -1);
    key.push(over ? -2 : places[child] ?? -1);
  }
  let field: keyof World;
  for (field in world) {
    if (field !== "processes" && field !== "pidFile") key.push(Number(world[field]));
  }
  return hash(key);
}

function isWaitedFor(processes: readonly Process[], id: number, parent: number): boolean {
  const above = processes[parent];
  return above !== undefined && above.isAlive && above.child === id && !above.over;
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
    ...process.work.map(({ what, isLate }) => `${isLate ? "late " : ""}${what} under way`),
    ...(process.holds ? ["holds the resource"] : []),
    ...process.timers.map((timer) => `timer ${timer}`),
    ...process.waiting.map((request) => `request ${request} waits`),
  ];
  return `${state.name}${more.length === 0 ? "" : ` (${more.join(", ")})`}`;
}
