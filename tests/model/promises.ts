/**
 * What holds in every world, after every step, and where nothing more comes by itself.
 *
 * @module
 */

import type { Move } from "./moves.ts";
import { isOwner, processOf } from "./simulation.ts";
import { Broken } from "./subject.ts";
import { isLeaving, isPaused, keyOf, type Process, type World } from "./world.ts";

function demand(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Broken(promise);
}

const accepts = (process: Process) => process.isAlive && process.accepting;
const name = ({ id }: Process) => `process ${id + 1}`;

/** After every step. */
export function holdsAfter(before: World, move: Move, after: World): void {
  // One that was called off leaves, also when the parent that said so has died meanwhile.
  const serves = before.processes.some((process) =>
    (accepts(process) || isPaused(process)) && !process.calledOff
  );
  if (!move.isTrouble && !after.meantToEnd && serves) {
    const isServed = after.processes.some((process) => accepts(process) || isPaused(process));
    demand(
      isServed || isExcused(after),
      "at least one process accepts, or clients wait for one in the queue of the kernel",
    );
  }
  demand(!after.meantToEnd || before.meantToEnd || move.isTrouble, "only users end the service");
}

/**
 * Two things at once: the parent has died, which the child has not heard yet, and the PID file cannot be written. Or
 * the owner was killed, and the parent reads only afterwards that it was the owner.
 */
function isExcused(world: World): boolean {
  return world.ownerWasKilled || world.failedUnaware;
}

/** In every world. */
export function holdsIn(world: World): void {
  const owners = world.processes.filter((process) => isSureOwner(process));
  demand(
    owners.length <= 1 || world.wasTorn,
    `there is one owner, not ${owners.map(name).join(" and ")}`,
  );
  const holders = world.processes.filter(({ holds, signals }) =>
    holds && !signals.includes("SIGKILL")
  );
  demand(
    holders.length <= 1,
    `what only one process may hold is not held by ${holders.map(name).join(" and ")}`,
  );
  for (const process of world.processes) {
    if (!process.isAlive) continue;
    timersFit(process);
    childFits(world, process);
    if (isPaused(process)) pauseFits(process);
    demand(
      !isLeaving(process) || !process.accepting,
      `${name(process)} (${process.state.name}) does not accept any more`,
    );
    if (process.state.name === "exited") {
      demand(process.waiting.length === 0, `${name(process)} has answered everybody when it ends`);
    }
    const alone = process.parent === -1 || !processOf(world, process.parent).isAlive;
    if (process.isFrozen || alone || process.hasAccepted || process.calledOff) continue;
    demand(!process.accepting, `${name(process)} accepts nothing before ready()`);
  }
}

/** Between pause and resume or commit. */
function pauseFits(process: Process): void {
  const phase = process.state.name === "upgrading" ? process.state.phase : "probation";
  const begins = phase === "pausing" || process.work.some(({ what }) => what === "pause");
  demand(
    begins || !process.accepting,
    `${name(process)} (${phase}) does not accept in a pause`,
  );
  // Whoever asked relies on the process when its upgrade has failed.
  demand(
    process.waiting.some((request) => request > 10),
    `the request that ${name(process)} is replaced waits until the pause is over`,
  );
}

/** An owner that has not told a child to take over. */
function isSureOwner(process: Process): boolean {
  const { state, signals } = process;
  // After SIGKILL it runs no line of code any more, however long the kernel keeps it.
  if (!isOwner(process) || signals.includes("SIGKILL")) return false;
  if (state.name !== "upgrading") return true;
  if (state.phase === "aborting") return !state.accepted;
  return state.phase !== "committing";
}

const TIMERS: { readonly [phase: string]: string } = { pausing: "pause", aborting: "kill" };

/** Whoever waits has a deadline, and nobody has one who does not wait. */
function timersFit(process: Process): void {
  const { state, timers } = process;
  const wanted: string[] = [];
  if (state.name === "upgrading") wanted.push(TIMERS[state.phase] ?? "upgrade");
  else if (state.name === "probation") wanted.push("probation");
  else if (state.name === "stopping" && state.child) wanted.push("kill");
  for (const timer of wanted) {
    demand(
      (timers as readonly string[]).includes(timer),
      `${name(process)} waits (${state.name}) and has a deadline`,
    );
  }
  for (const timer of timers) {
    demand(wanted.includes(timer), `${name(process)} (${state.name}) has no timer "${timer}"`);
  }
}

/** Phases of a sequential upgrade in which there is no child. */
const ALONE: readonly string[] = ["pausing", "releasing", "resuming"];

/** Whoever waits for a child has one, and whoever does not has let go of it. */
function childFits(world: World, process: Process): void {
  const { state, over, spawning } = process;
  const child = world.processes[process.child];
  const waits = state.name === "upgrading" && !ALONE.includes(state.phase) ||
    state.name === "probation" ||
    state.name === "stopping" && state.child;
  if (!waits) {
    const none = child === undefined && spawning === "no";
    demand(over || none, `${name(process)} (${state.name}) has let go of its child`);
  } else if (spawning === "no") {
    demand(
      child !== undefined && !(child.exitNoticed && child.up.length === 0),
      `${name(process)} (${state.name}) does not wait for a child that is not there`,
    );
  }
}

/** Where nothing more comes by itself, nothing went wrong and nobody was late: every upgrade has succeeded. */
export function holdsWhenPunctual(world: World): void {
  const asked = world.processes.reduce((sum, { upgradeCalls }) => sum + upgradeCalls, 0);
  const last = world.processes.at(-1) as Process;
  const goes = world.processes.every((process) => process === last || !process.isAlive);
  const ready = world.processes.every(({ readyCalls }) => readyCalls > 0);
  if (!ready) return;
  demand(
    world.processes.length === asked + 1 && goes && last.state.name === "serving",
    "an upgrade in which nothing goes wrong succeeds",
  );
}

/** Where nothing more comes by itself. */
export function holdsAtRest(world: World, isExclusive: boolean): void {
  const alive = world.processes.filter(({ isAlive }) => isAlive);
  const frozen = alive.filter(({ isFrozen }) => isFrozen);
  for (const process of frozen) {
    const parent = world.processes[process.parent];
    const watched = parent !== undefined && isOwner(parent) && !parent.isFrozen;
    demand(!watched, `${name(process)}, which stands still, is ended by its parent`);
  }
  // An owner that stands still nobody replaces.
  if (frozen.length > 0) return;
  for (const process of alive) {
    const { state } = process;
    demand(process.waiting.length === 0, `every request of ${name(process)} is answered`);
    demand(process.timers.length === 0, `no timer of ${name(process)} runs`);
    const settled = state.name === "serving" ||
      state.name === "starting" && state.phase === "initialising";
    demand(settled, `${name(process)} (${state.name}) is not in between for ever`);
  }
  const owners = alive.filter((process) => isOwner(process));
  demand(owners.length <= 1, "there are not two owners in the end");
  const [owner] = owners;
  if (owner !== undefined) {
    demand(owner.accepting, "the owner accepts");
    demand(
      owner.holds || owner.doesWithout || !isExclusive,
      `${name(owner)} has what only one process may hold`,
    );
    demand(
      world.pidFile === owner.id || world.namesFailed || world.wasTorn,
      `the PID file has the number of ${name(owner)}`,
    );
    demand(world.hasPath || world.wasTorn || world.meantToEnd, "the path of the socket is there");
    demand(alive.length === 1, `nobody is left besides ${name(owner)}`);
  } else if (!world.meantToEnd && !world.wasKilled && !world.ownerWasKilled) {
    // One that initialises was told so by ready(), if it was called, and may call it again.
    const tries = alive.some(({ state }) => state.name === "starting");
    demand(!world.hasBegun || tries || isExcused(world), "somebody serves");
  }
  const died = world.wasKilled || world.troubles > 1 || world.wasTorn;
  if (alive.length === 0 && !died && world.meantToEnd) {
    demand(world.pidFile === -1 && !world.hasPath, "no name is left behind");
  }
}

/** A refused request is answered at once, and changes nothing. */
export function refusalHolds(before: World, after: World): void {
  const same = { ...after, processes: before.processes };
  demand(keyOf(same) === keyOf(before), "a refusal changes nothing");
  for (const process of after.processes) {
    const was = processOf(before, process.id);
    demand(process.waiting.length === was.waiting.length, "a refusal comes at once");
    demand(
      process.state === was.state && process.timers.length === was.timers.length &&
        process.spawning === was.spawning && isLeaving(process) === isLeaving(was),
      "a refusal changes nothing",
    );
  }
}
