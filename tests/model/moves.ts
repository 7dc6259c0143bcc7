/**
 * What may happen next in a world.
 *
 * @module
 */

import type { Event } from "../../src/machine.ts";
import { dies, failure, isOwner, isUnaware, processOf, type Simulation } from "./simulation.ts";
import { GARBAGE } from "./subject.ts";
import { isDeaf, isLetGo, isUnwatched } from "./alone.ts";
import {
  change,
  isLeaving,
  isPaused,
  keyOfProcess,
  type Process,
  type Work,
  type World,
} from "./world.ts";

/** How much of the world is explored. */
export interface Bounds {
  /** How many processes there may be in all. */
  readonly processes: number;
  /** How many things may go wrong on one path: deaths, stops, freezes, failures, torn channels, garbage. */
  readonly troubles: number;
  /** How often one process may be asked to upgrade. */
  readonly upgrades: number;
  /** Whether upgrades are sequential ones, which release what only one process may hold; by default none is. */
  readonly mode?: "parallel" | "sequential" | "either";
  /** Whether children are watched before commit. */
  readonly probation: boolean;
  /** Whether nobody is late: the timers of the machine ring only when nothing else comes. */
  readonly punctual?: boolean;
  /** How many steps from the beginning; by default all. */
  readonly depth?: number;
}

/** One step: what happened, and the world afterwards. */
export interface Move {
  readonly title: string;
  /** Does it. @throws {Broken} when a promise is broken on the way. */
  readonly run: () => World;
  /** What the world does to the processes; all other moves are theirs. */
  readonly isTrouble: boolean;
  /** Whether it is tried without the others, see `alone.ts`. */
  readonly isAlone?: boolean;
}

type Add = (title: string, run: () => World, isAlone?: boolean) => void;

/** What comes by itself, sooner or later, in any order. */
export function inevitable(simulation: Simulation, world: World, bounds: Bounds): Move[] {
  const moves: Move[] = [];
  const late: Move[] = [];
  const add: Add = (title, run, isAlone = false) =>
    moves.push({ title, run, isTrouble: false, isAlone });
  for (const process of world.processes) {
    const { id, signals } = process;
    if (bounds.punctual && isAboutToBeReady(process)) {
      add(`${name(id)} calls ready()`, () => askReady(simulation, world, process));
    }
    if (process.isAlive && !process.isFrozen) expiries(simulation, world, process, late);
    if (signals.includes("SIGKILL")) add(`${name(id)} is ended by SIGKILL`, () => ended(world, id));
    else if (process.isAlive && !process.isFrozen) {
      fromOutside(simulation, world, process, add);
      if (process.hasJoined) byItself(simulation, world, process, bounds, add);
    }
    if (process.parent !== -1) toParent(simulation, world, process, add);
  }
  return bounds.punctual && moves.length > 0 ? moves : [...moves, ...late];
}

function isAboutToBeReady(process: Process): boolean {
  return runs(process) && process.state.name === "starting" && process.readyCalls === 0;
}

/** Whether it runs code of users. */
function runs({ isAlive, hasJoined, isFrozen, signals }: Process): boolean {
  return isAlive && hasJoined && !isFrozen && !signals.includes("SIGKILL");
}

function expiries(simulation: Simulation, world: World, process: Process, late: Move[]): void {
  const { id } = process;
  for (const timer of process.timers) {
    late.push({
      title: `timer "${timer}" of ${name(id)} rings`,
      run: () => simulation.expire(world, id, timer),
      isTrouble: false,
    });
  }
}

/** Signals, frames and the end of the parent. */
function fromOutside(simulation: Simulation, world: World, process: Process, add: Add): void {
  const { id, parent, down, signals: [signal, ...signals] } = process;
  // A parent says `abort` before it signals, and an owner hears that first (core.ts).
  if (signal !== undefined && (!isOwner(process) || down.length === 0)) {
    const taken = change(world, id, { signals });
    add(
      `${name(id)} gets ${signal}`,
      () =>
        process.hasAccepted
          ? simulation.dispatch(taken, id, { type: "stop-called" })
          : ended(taken, id),
      isDeaf(process),
    );
  }
  if (parent === -1) return;
  const [letter] = down;
  if (letter !== undefined) {
    const run = () => simulation.readDown(world, id, {});
    add(`${name(id)} reads \`${letter.name}\``, run, isDeaf(process));
  } else if (!process.endNoticed && (process.isTorn || !processOf(world, parent).isAlive)) {
    const noticed = change(world, id, { endNoticed: true });
    add(
      `${name(id)} notices the end of its parent`,
      // What was passed to it nobody has told: it begins anew.
      () =>
        process.hasJoined
          ? simulation.dispatch(noticed, id, { type: "parent-gone" })
          : change(noticed, id, { hasJoined: true }),
      isDeaf(process) || isLetGo(process),
    );
  }
}

/** Answers of the system, the end of the last connection. */
function byItself(
  simulation: Simulation,
  world: World,
  process: Process,
  bounds: Bounds,
  add: Add,
): void {
  const { id } = process;
  if (process.opening) {
    // One that has ended its service closes what is opened too late.
    const accepting = process.state.name !== "exited";
    const open = change(world, id, { opening: false, accepting });
    add(
      `the listeners of ${name(id)} are open`,
      () => simulation.dispatch(open, id, { type: "opened" }),
      isDeaf(process),
    );
  }
  for (const work of underWay(process)) {
    add(
      `${name(id)} ${DONE[work.what]}${work.isLate ? ", late" : ""}`,
      () => simulation.worked(world, id, work, false),
      isDeaf(process),
    );
  }
  if (process.spawning === "command") {
    add(
      `the command of ${name(id)}'s child is known`,
      () => change(world, id, { spawning: process.over ? "no" : "process" }),
    );
  } else if (process.spawning === "process" && process.over) {
    add(
      `${name(id)} ends the child that comes too late`,
      () => change(world, id, { spawning: "no" }),
    );
  } else if (process.spawning === "process" && world.processes.length < bounds.processes) {
    add(
      `${name(id)} has started ${name(world.processes.length)}`,
      () => simulation.started(world, id),
    );
  } else if (process.spawning === "process") {
    add(`${name(id)} cannot start another process`, () => notSpawned(simulation, world, id));
  }
  const { state } = process;
  const leaves = state.name === "draining" || state.name === "stopping" && !state.drained;
  if (leaves && process.once.includes("exit")) {
    add(
      `the last connection of ${name(id)} is finished`,
      () => simulation.dispatch(world, id, { type: "drained" }),
      state.name === "draining" && isUnwatched(world, process),
    );
  }
  if (state.name === "exited") add(`${name(id)} ends`, () => ended(world, id), !process.holds);
}

const DONE: { readonly [W in Work["what"]]: string } = {
  pause: "has paused its listeners",
  finish: "has no connection any more",
  release: "has released its resource",
  reacquire: "has taken its resource back",
};

/** What may be done next: the application is called for one thing after the other, and the listeners are paused so. */
function underWay({ work }: Process): Work[] {
  const isOfServer = ({ what }: Work) => what === "pause" || what === "finish";
  const next = [work.find(isOfServer), work.find((each) => !isOfServer(each))];
  return next.filter((each) => each !== undefined);
}

/** What a parent learns of a child. */
function toParent(simulation: Simulation, world: World, child: Process, add: Add): void {
  const parent = processOf(world, child.parent);
  if (!parent.isAlive || parent.isFrozen || !parent.hasJoined) return;
  // Of one that it has let go it hears nothing any more.
  if (parent.over || parent.child !== child.id) return;
  const { id, up: [letter] } = child;
  if (letter !== undefined) {
    add(
      `${name(parent.id)} reads \`${letter.name}\` of ${name(id)}`,
      () => simulation.readUp(world, id),
    );
  } else if (!child.isAlive && !child.exitNoticed) {
    add(
      `${name(parent.id)} notices the end of ${name(id)}`,
      () =>
        simulation.tell(change(world, id, { exitNoticed: true }), id, parent.id, {
          type: "child-exited",
          failure: failure("ERR_CHILD_EXITED"),
        }),
    );
  } else if (child.isAlive && child.isTorn && !child.tearNoticed) {
    add(
      `${name(parent.id)} notices that the channel of ${name(id)} is closed`,
      () =>
        simulation.tell(change(world, id, { tearNoticed: true }), id, parent.id, {
          type: "child-failed",
          failure: failure("ERR_CHILD_FAILED"),
        }),
    );
  }
}

/** What users may ask for, as far as it is not refused. */
export function wishes(simulation: Simulation, world: World, bounds: Bounds): Move[] {
  const moves: Move[] = [];
  const add: Add = (title, run) => moves.push({ title, run, isTrouble: false });
  for (const process of world.processes) {
    const { id, state } = process;
    if (!runs(process)) continue;
    if (state.name === "starting" && state.phase === "initialising" && process.readyCalls < 2) {
      add(`${name(id)} calls ready()`, () => askReady(simulation, world, process));
    }
    // A child waits until its parent has let go (core.ts).
    // One whose channel was torn takes a living parent for dead, which ends it in time: what it starts meanwhile is not
    // explored.
    const isRevocable = !process.endNoticed && !process.told.includes("released");
    const mayUpgrade = !isRevocable && !process.isTorn && process.upgradeCalls < bounds.upgrades;
    const hasRoom = !bounds.punctual || world.processes.length < bounds.processes;
    if (state.name === "serving" && mayUpgrade && hasRoom) {
      for (const sequential of modes(bounds)) {
        add(
          `${name(id)} is asked to upgrade${sequential ? ", one after the other" : ""}`,
          () => askUpgrade(simulation, world, process, bounds, sequential),
        );
      }
    }
    if (state.name === "probation") {
      add(
        `the child of ${name(id)} is confirmed`,
        () => simulation.dispatch(world, id, { type: "probation-over" }),
      );
    }
  }
  return moves;
}

function modes({ mode = "parallel" }: Bounds): boolean[] {
  return mode === "either" ? [false, true] : [mode === "sequential"];
}

/** What may go wrong. */
export function troubles(simulation: Simulation, before: World, bounds: Bounds): Move[] {
  if (before.troubles >= bounds.troubles) return [];
  const world: World = { ...before, troubles: before.troubles + 1 };
  const moves: Move[] = [];
  const add: Add = (title, run) => moves.push({ title, run, isTrouble: true });
  for (const process of world.processes) {
    if (!process.isAlive || process.signals.includes("SIGKILL")) continue;
    crashes(world, process, add);
    const { id } = process;
    if (process.parent !== -1) betweenTwo(simulation, world, process, add);
    if (!process.isFrozen && !isLeaving(process)) {
      add(`${name(id)} stands still`, () => change(world, id, { isFrozen: true }));
    }
    if (process.isFrozen || !process.hasJoined) continue;
    if (!isLeaving(process)) {
      const alone = process.parent === -1 || !processOf(world, process.parent).isAlive;
      const ends = isOwner(process) || process.state.name === "starting" && alone;
      const stopped = { ...world, meantToEnd: world.meantToEnd || ends };
      add(
        `${name(id)} is stopped`,
        () => simulation.dispatch(stopped, id, { type: "stop-called" }),
      );
    }
    if (process.opening) {
      const failed = change(world, id, { opening: false });
      // One that believes in its parent leaves the service to it.
      const open = { ...failed, failedUnaware: world.failedUnaware || isUnaware(world, process) };
      add(
        `a listener of ${name(id)} cannot be opened`,
        () => simulation.dispatch(open, id, { type: "open-failed", failure: failure("ERR_ADOPT") }),
      );
    }
    for (const work of underWay(process)) {
      if (work.isLate || work.what === "finish") continue;
      // What nobody has released cannot fail to come back.
      if (work.what === "reacquire" && !process.hasReleased) continue;
      add(
        `${name(id)} fails to ${work.what}`,
        () => simulation.worked(world, id, work, true),
      );
    }
    if (process.spawning === "process" && !process.over) {
      add(`the child of ${name(id)} cannot be started`, () => notSpawned(simulation, world, id));
    }
    if (!world.namesFailed && !isLeaving(process)) namesFail(simulation, world, process, add);
  }
  return moves;
}

/** A process dies at once, with all it has written, or without the last of it. */
function crashes(world: World, process: Process, add: Add): void {
  const { id } = process;
  const alone = world.processes.every((other) =>
    other.id === id || (!other.accepting || other.calledOff) && !isHeir(other, process)
  );
  const owner = process.up.some((letter) => letter.name === "owned");
  const down = Math.max(0, ...world.processes.map((child) => lettersTo(child, id)));
  for (let lost = 0; lost <= Math.max(down, process.up.length); lost++) {
    let next = change(
      {
        ...world,
        wasKilled: world.wasKilled || alone,
        ownerWasKilled: world.ownerWasKilled || owner,
      },
      id,
      {
        up: process.up.slice(0, Math.max(0, process.up.length - lost)),
      },
    );
    for (const child of world.processes) {
      if (lettersTo(child, id) === 0) continue;
      next = change(next, child.id, {
        down: child.down.slice(0, Math.max(0, child.down.length - lost)),
      });
    }
    const what = lost === 0 ? "" : `; the last ${lost} of what it said had not left`;
    const dying = next;
    add(`${name(id)} dies${what}`, () => ended(dying, id));
  }
}

/** Whether a process that does not accept yet will do so in the place of its parent. */
function isHeir(child: Process, parent: Process): boolean {
  return isPaused(parent) && !parent.over && parent.child === child.id && runs(child) &&
    !child.calledOff && !isLeaving(child);
}

function lettersTo(child: Process, parent: number): number {
  return child.parent === parent ? child.down.length : 0;
}

/** What may go wrong with a child and its channel. */
function betweenTwo(simulation: Simulation, world: World, child: Process, add: Add): void {
  const { id } = child;
  const parent = processOf(world, child.parent);
  // Of a child that it has let go the parent hears nothing, and the child ignores what it says, or that it is gone.
  if (!parent.isAlive || parent.over || parent.child !== id || child.isTorn) return;
  add(
    `the channel between ${name(parent.id)} and ${name(id)} is lost`,
    () => change({ ...world, wasTorn: true }, id, { isTorn: true, down: [], up: [] }),
  );
  if (!child.isFrozen && child.state.name === "starting" && child.hasJoined) {
    add(
      `${name(id)} calls fail()`,
      () => simulation.dispatch(world, id, { type: "fail-called", reason: "no" }),
    );
  }
  if (!child.exitNoticed) {
    add(`${name(id)} says garbage`, () => change(world, id, { up: [...child.up, GARBAGE] }));
  }
  if (!child.isFrozen) {
    add(
      `${name(id)} is told garbage`,
      () => change(world, id, { down: [...child.down, GARBAGE], calledOff: true }),
    );
  }
}

/** The next step of a process, where the PID file cannot be written; a step that writes none is none. */
function namesFail(simulation: Simulation, world: World, process: Process, add: Add): void {
  const { id, down: [letter] } = process;
  const chance = { namesFail: true };
  const tell = (changes: Partial<Process>, event: Event) => () =>
    simulation.dispatch(change(world, id, changes), id, event, chance);
  const title = `${name(id)} goes on and cannot write its PID file`;
  if (process.opening) {
    add(title, tell({ opening: false, accepting: true }, { type: "opened" }));
  } else if (letter?.name === "commit") {
    add(title, () => simulation.readDown(world, id, chance));
  } else if (
    letter === undefined && !process.endNoticed &&
    (process.isTorn || !processOf(world, process.parent).isAlive)
  ) add(title, tell({ endNoticed: true }, { type: "parent-gone" }));
}

/** Whatever is refused is refused at once, and changes nothing. */
export function refused(
  simulation: Simulation,
  world: World,
  bounds: Bounds,
  tried: Set<number>,
): Move[] {
  const moves: Move[] = [];
  for (const process of world.processes) {
    const { state } = process;
    if (!runs(process)) continue;
    // What a process refuses depends on nobody else.
    const key = keyOfProcess(process);
    if (tried.has(key)) continue;
    tried.add(key);
    if (state.name !== "serving") {
      const title = `${name(process.id)} is asked to upgrade, in vain`;
      const run = () => askUpgrade(simulation, world, process, bounds, false);
      moves.push({ title, run, isTrouble: false });
    }
    if (state.name !== "starting" || state.phase !== "initialising") {
      const title = `${name(process.id)} calls ready() once more, in vain`;
      moves.push({ title, run: () => askReady(simulation, world, process), isTrouble: false });
    }
  }
  return moves;
}

function askReady(simulation: Simulation, world: World, process: Process): World {
  const readyCalls = process.readyCalls + 1;
  const waiting = [...process.waiting, readyCalls];
  const asked = change(world, process.id, { readyCalls, waiting });
  return simulation.dispatch(asked, process.id, { type: "ready-called", request: readyCalls });
}

function askUpgrade(
  simulation: Simulation,
  world: World,
  process: Process,
  { probation }: Bounds,
  sequential: boolean,
): World {
  const upgradeCalls = process.upgradeCalls + 1;
  const request = 10 + upgradeCalls;
  const asked = change(world, process.id, {
    upgradeCalls,
    waiting: [...process.waiting, request],
  });
  return simulation.dispatch(asked, process.id, {
    type: "upgrade-requested",
    request,
    probation,
    sequential,
    draining: 0,
    maxDraining: 2,
  });
}

function notSpawned(simulation: Simulation, world: World, id: number): World {
  const tried = change(world, id, { spawning: "no" });
  return simulation.dispatch(tried, id, {
    type: "spawn-failed",
    failure: failure("ERR_SPAWN"),
  });
}

/** A process is gone; what its children say to it is heard by nobody. */
function ended(world: World, id: number): World {
  let next = dies(world, id);
  for (const child of world.processes) {
    if (child.parent === id && child.up.length > 0) next = change(next, child.id, { up: [] });
  }
  return next;
}

function name(id: number): string {
  return `process ${id + 1}`;
}
