/**
 * Walks all worlds, breadth first, so that the first counter-example is a shortest one.
 *
 * What is explored: up to the given number of processes, of upgrades that each is asked for, and of troubles on one way,
 * every order of frames, timers, signals, answers of the system, calls of users and ends. A trouble is a death (also
 * without the last words), a stop, a process that stands still, a torn channel, garbage, a failure of a step. Timers
 * have no length: each may ring as soon as it runs. Sequential upgrades have the steps of the parent (pausing, waiting
 * for connections, releasing, taking back), each of which may take longer than anybody waits, and one resource.
 *
 * What makes it finish: dead processes that nobody waits for are forgotten, and the rest is told apart by what may still
 * matter ({@linkcode keyOf}); steps that commute with all others are taken alone (`alone.ts`); a world is remembered by
 * eight bytes (`known.ts`).
 *
 * What is not explored: more processes or troubles at once; what a process starts whose channel was torn and whose
 * parent lives; a process that goes on after it stood still; paused listeners that cannot be opened again; the frames
 * that carry state, status, history and requests of older generations. `core.ts`, `sequential.ts` and `exclusive.ts` are
 * played by `simulation.ts`, not run.
 *
 * @module
 */

import { staysUnseen } from "./alone.ts";
import { type Bounds, inevitable, type Move, refused, troubles, wishes } from "./moves.ts";
import { holdsAfter, holdsAtRest, holdsIn, holdsWhenPunctual, refusalHolds } from "./promises.ts";
import { Simulation } from "./simulation.ts";
import { Broken, real, type Subject } from "./subject.ts";
import { Known } from "./known.ts";
import { keyOf, show, type World } from "./world.ts";

/** What an exploration found. */
export interface Exploration {
  /** Different worlds that were reached. */
  readonly states: number;
  /** Steps from one to another that were tried. */
  readonly steps: number;
  /** Steps of the longest shortest way. */
  readonly depth: number;
  /** Worlds in which nothing more comes by itself. */
  readonly rests: number;
  /** Worlds from which one step was taken alone, see `alone.ts`. */
  readonly alone: number;
  /** A shortest way to a broken promise, as a story; `undefined` when all hold. */
  readonly story: string | undefined;
  /** The promise that was broken. */
  readonly broken: string | undefined;
  /** Whether it was given up at the limit of states. */
  readonly isCut: boolean;
}

/**
 * Explores.
 *
 * @param bounds How much.
 * @param subject What; by default the real machine and the real protocol.
 */
export function explore(
  bounds: Bounds,
  subject: Subject = real,
  { maxStates = Infinity, isReduced = true, visit = () => {} }: {
    /** Where to give up. */
    readonly maxStates?: number;
    /** Whether some steps are taken alone, see `alone.ts`. */
    readonly isReduced?: boolean;
    /** Told of each world. */
    readonly visit?: (world: World) => void;
  } = {},
): Exploration {
  const isExclusive = bounds.mode === "sequential";
  const simulation = new Simulation(subject, isExclusive);
  const known = new Known();
  // How each world was reached: from which one, by which of the moves there. A story goes the way once more.
  const way: Way = { from: [-1], moves: [-1] };
  const refusals = new Set<number>();
  let steps = 0;
  let depth = 0;
  let rests = 0;
  let alone = 0;
  const first = simulation.begin();
  known.add(keyOf(first));
  let level: World[] = [first];
  let begin = 0;
  const end = (error?: unknown, at = 0, move?: Move): Exploration => ({
    states: known.size,
    steps,
    depth,
    rests,
    alone,
    isCut: known.size >= maxStates,
    broken: error === undefined ? undefined : (error as Error).message,
    story: error === undefined ? undefined : tell(simulation, bounds, {
      moves: movesTo(way, at),
      last: move,
      error: error as Error,
    }),
  });
  while (level.length > 0 && known.size < maxStates) {
    const next: World[] = [];
    for (const [place, world] of level.entries()) {
      let move: Move | undefined;
      try {
        visit(world);
        holdsIn(world);
        for (move of refused(simulation, world, bounds, refusals)) {
          refusalHolds(world, move.run());
        }
        move = undefined;
        const coming = inevitable(simulation, world, bounds);
        const single = coming.findIndex((each) =>
          each.isAlone && isReduced && staysUnseen(world, each.run())
        );
        if (single >= 0) alone++;
        else {
          // What comes and changes nothing may come for ever.
          const here = keyOf(world);
          if (coming.every((each) => keyOf((move = each).run()) === here)) {
            rests++;
            move = undefined;
            holdsAtRest(world, isExclusive);
            if (bounds.punctual && bounds.troubles === 0) holdsWhenPunctual(world);
          }
          coming.push(...wishes(simulation, world, bounds), ...troubles(simulation, world, bounds));
        }
        for (const [index, each] of coming.entries()) {
          if (single >= 0 && index !== single) continue;
          move = each;
          steps++;
          const reached = move.run();
          holdsAfter(world, move, reached);
          if (!known.add(keyOf(reached))) continue;
          next.push(reached);
          way.from.push(begin + place);
          way.moves.push(index);
        }
      } catch (error) {
        return end(error, begin + place, move);
      }
    }
    begin += level.length;
    level = next;
    if (next.length > 0) depth++;
    if (depth >= (bounds.depth ?? Infinity)) break;
  }
  return end();
}

/** For each world but the first: from which it was reached, by which of the moves there. */
interface Way {
  readonly from: number[];
  readonly moves: number[];
}

/** Moves to a world, in order. */
function movesTo({ from, moves }: Way, index: number): number[] {
  const way: number[] = [];
  for (let at = index; at > 0; at = from[at] as number) way.unshift(moves[at] as number);
  return way;
}

/** Goes a way once more and tells it. */
function tell(
  simulation: Simulation,
  bounds: Bounds,
  { moves, last, error }: {
    readonly moves: readonly number[];
    readonly last: Move | undefined;
    readonly error: Error;
  },
): string {
  const lines: string[] = [];
  let world = simulation.begin();
  const add = (title: string) =>
    lines.push(`${String(lines.filter(isTitle).length + 1).padStart(3)}. ${title}`);
  for (const index of moves) {
    const move = [
      ...inevitable(simulation, world, bounds),
      ...wishes(simulation, world, bounds),
      ...troubles(simulation, world, bounds),
    ][index] as Move;
    const reached = move.run();
    add(move.title);
    lines.push(...changes(world, reached));
    world = reached;
  }
  if (last !== undefined) {
    add(last.title);
    try {
      lines.push(...changes(world, last.run()));
    } catch {
      // The step itself breaks the promise.
    }
  }
  const what = error instanceof Broken ? `broken: ${error.message}` : `error: ${error.stack}`;
  const pid = world.pidFile === -1
    ? "nobody's number"
    : `the number of process ${world.pidFile + 1}`;
  const steps = moves.length + (last === undefined ? 0 : 1);
  return [`A way of ${steps} steps to a broken promise`, ...lines, `PID file: ${pid}`, what]
    .join("\n");
}

const isTitle = (line: string) => /^ *\d+\. /.test(line);

/** What a step has made of whom. */
function changes(before: World, after: World): string[] {
  return after.processes.flatMap((process) => {
    const was = before.processes[process.id];
    const now = show(process);
    return was !== undefined && show(was) === now
      ? []
      : [`       process ${process.id + 1}: ${now}`];
  });
}
