/**
 * Steps that are taken alone: where such a one comes, the others are not tried before it (partial-order reduction).
 *
 * That loses nothing, because such a step commutes with every other: whatever else may come can come after it as well as
 * before, and leads to the same world; nobody but the process itself sees that it was taken; and none of them can be
 * taken for ever, since each uses up a message or a phase of a life. They are
 *
 * - what reaches a process that leaves and has accepted: a frame, SIGTERM, the end of its parent, a listener that opens
 *   too late. The machine ignores it in each of the states that are left, so it does not matter when.
 * - the end of its parent for an owner whom the parent has let go: from there on the machine ignores it everywhere.
 * - the end of the drain of a process that was replaced, where nobody listens to it: neither its parent, nor a child
 *   that is not the owner yet. Later it would look the same to all others.
 * - the end of a process that has ended its service. Whatever can befall it in between can befall it before: while it
 *   drained, it was alive, accepted nothing and was heard as little. One that holds what only one process may hold is
 *   excepted, since others see when it lets go.
 *
 * That holds for the machine as it should be. Where a broken one does more than to ignore, {@linkcode staysUnseen} sees
 * it, and all steps are tried.
 *
 * @module
 */

import { isOwner, processOf } from "./simulation.ts";
import { isLeaving, keyOf, type Process, type World } from "./world.ts";

/** Whether a process ignores what comes from outside until its end. */
export function isDeaf(process: Process): boolean {
  return isLeaving(process) && process.hasAccepted;
}

/** Whether a process is the owner, and its parent has let go. */
export function isLetGo(process: Process): boolean {
  return isOwner(process) && process.told.includes("released");
}

/** Whether nobody sees when a process that was replaced ends. */
export function isUnwatched(world: World, { id, parent, holds }: Process): boolean {
  if (holds) return false;
  const waiting = world.processes[parent];
  if (waiting?.isAlive && waiting.child === id && !waiting.over) return false;
  return world.processes.every((child) =>
    child.parent !== id || !child.isAlive || isDeaf(child) || isLetGo(child) ||
    child.signals.includes("SIGKILL")
  );
}

/** Whether a step has changed a process that accepts as before, and nothing else. */
export function staysUnseen(before: World, after: World): boolean {
  if (before.processes.length !== after.processes.length) return false;
  let changed = 0;
  for (const process of after.processes) {
    const was = processOf(before, process.id);
    if (process === was) continue;
    changed++;
    if (process.accepting !== was.accepting || process.holds !== was.holds) return false;
  }
  let field: keyof World;
  for (field in before) {
    if (field !== "processes" && before[field] !== after[field]) return false;
  }
  return changed === 1 && keyOf(before) !== keyOf(after);
}
