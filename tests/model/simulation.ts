/**
 * Carries out what a machine asks for, in the world: the part of `core.ts`, `succession.ts`, `child.ts` and `parent.ts`
 * that the exploration needs, as pure functions.
 *
 * @module
 */

import type { Effect, Event, Failure, State, TimerName } from "../../src/machine.ts";
import type { Frame } from "../../src/protocol.ts";
import { Broken, type Letter, Post, type Subject } from "./subject.ts";
import { change, type Draft, isPaused, type Process, type Work, type World } from "./world.ts";

const MAX_STEPS = 50;

const EXPIRED: { readonly [T in TimerName]: Event } = {
  upgrade: { type: "timeout" },
  probation: { type: "probation-over" },
  kill: { type: "kill-timeout" },
  pause: { type: "timeout" },
};

/** Of which phase each work is a part. */
const PHASES: { readonly [W in Work["what"]]: string } = {
  pause: "pausing",
  finish: "pausing",
  release: "releasing",
  reacquire: "resuming",
};

/** Why something fails in the model. */
export const failure = (code: Failure["code"]): Failure => ({ code, message: code });

/** How a step may go. */
export interface Chance {
  /** Whether the PID file cannot be written. */
  readonly namesFail?: boolean;
}

/** Runs machines in a world. */
export class Simulation {
  readonly post: Post;
  readonly #subject: Subject;
  readonly #isExclusive: boolean;

  /** @param isExclusive Whether each process needs what only one may hold. */
  constructor(subject: Subject, isExclusive: boolean) {
    this.#subject = subject;
    this.#isExclusive = isExclusive;
    this.post = new Post(subject.protocol);
  }

  /** One process that serves, started by a user. */
  begin(): World {
    const first = this.#newborn(0, -1, 1);
    return {
      processes: [{ ...first, hasJoined: true }],
      pidFile: -1,
      hasPath: true,
      troubles: 0,
      meantToEnd: false,
      wasKilled: false,
      ownerWasKilled: false,
      namesFailed: false,
      failedUnaware: false,
      hasBegun: false,
      wasTorn: false,
    };
  }

  /** A timer rings. */
  expire(world: World, id: number, timer: TimerName): World {
    const { timers } = processOf(world, id);
    const rung = change(world, id, { timers: timers.filter((other) => other !== timer) });
    return this.dispatch(rung, id, EXPIRED[timer]);
  }

  /** Tells a process what happened; carries out what it wants, and what follows from that, in the engine's order. */
  dispatch(world: World, id: number, event: Event, chance: Chance = {}): World {
    const draft: Draft = { ...world };
    const queue: Event[] = [event];
    let steps = 0;
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (++steps > MAX_STEPS) throw new Broken("a step that never ends");
      const [state, effects] = this.#subject.machine.transition(processOf(draft, id).state, next);
      set(draft, id, { state });
      for (const effect of effects) this.#run(draft, id, effect, queue, chance);
    }
    return draft;
  }

  /** A process reads the first frame of its parent. */
  readDown(world: World, id: number, chance: Chance): World {
    const process = processOf(world, id);
    const [letter, ...down] = process.down;
    const taken = change(world, id, { down });
    const frame = this.post.read(letter as Letter);
    if (!process.hasJoined) {
      const hello = frame instanceof Error || frame.type !== "hello" ? undefined : frame;
      // Without a greeting it does not begin: it says so and ends.
      if (hello === undefined) return this.fail(dies(taken, id), id);
      if (hello.generation !== process.generation) {
        throw new Broken("hello names a wrong generation");
      }
      const state = this.#subject.machine.initialState(true);
      return change(taken, id, { hasJoined: true, state });
    }
    if (frame instanceof Error) {
      // core.ts: once this process is the owner, nothing that a dying parent says can take that away.
      if (process.state.name !== "starting") return taken;
      return this.dispatch(this.fail(taken, id), id, abort("garbage"), chance);
    }
    const event = fromParent(frame);
    return event === undefined ? taken : this.dispatch(taken, id, event, chance);
  }

  /** The parent reads the first frame of a child. */
  readUp(world: World, id: number): World {
    const { up: [letter, ...up], parent } = processOf(world, id);
    const taken = change(world, id, { up });
    const frame = this.post.read(letter as Letter);
    const event: Event | undefined = frame instanceof Error
      ? { type: "child-failed", failure: failure("ERR_PROTOCOL") }
      : fromChild(frame);
    return event === undefined ? taken : this.tell(taken, id, parent, event);
  }

  /** Tells a parent about one child, unless it has let go of that one. */
  tell(world: World, child: number, parent: number, event: Event): World {
    const { over, child: current } = processOf(world, parent);
    return over || current !== child ? world : this.dispatch(world, parent, event);
  }

  /** A process that was being started is there. */
  started(world: World, id: number): World {
    const parent = processOf(world, id);
    const child = this.#newborn(world.processes.length, id, parent.generation + 1);
    const hello = this.post.write({
      type: "hello",
      v: 1,
      generation: child.generation,
      pid: id + 1,
      runtime: "model",
      sockets: [{ fd: 4, kind: "unix", identity: "web", address: "unix:/web" }],
      deadlineMs: 1,
      probationMs: 1,
      draining: [],
    });
    const born: World = {
      ...world,
      processes: [...world.processes, { ...child, down: [hello] }],
    };
    const known = change(born, id, { child: child.id, spawning: "no" });
    return this.dispatch(known, id, { type: "spawned" });
  }

  /**
   * Work of a process is done, or has failed; who still waits for it is told (sequential.ts).
   *
   * @param work One of the process's.
   * @param failed Whether it has failed.
   */
  worked(world: World, id: number, work: Work, failed: boolean): World {
    const process = processOf(world, id);
    const { state, hasReleased, holds } = process;
    const isAwaited = !work.isLate && state.name === "upgrading" &&
      state.phase === PHASES[work.what];
    const end = (changes: Partial<Process>, event: Event) => {
      const done = change(world, id, {
        work: process.work.filter((other) => other !== work),
        ...changes,
      });
      return isAwaited ? this.dispatch(done, id, event) : done;
    };
    const problem = failure("ERR_ABORTED");
    switch (work.what) {
      case "pause": {
        // Some listeners may be paused although others cannot be.
        if (failed) return end({ accepting: false }, { type: "pause-failed", failure: problem });
        if (isAwaited) {
          const next: Work = { what: "finish", isLate: false };
          const rest = process.work.map((other) => other === work ? next : other);
          return change(world, id, { accepting: false, work: rest });
        }
        // One that accepts again opens what is paused only now.
        return end({ accepting: process.accepting && !isPaused(process) }, { type: "paused" });
      }
      case "finish":
        return end({}, { type: "paused" });
      case "release": {
        const hasReleased = this.#isExclusive;
        // Whether one that fails has let go, nobody knows: at worst it has not.
        return failed
          ? end({ hasReleased }, { type: "release-failed", failure: problem })
          : end({ hasReleased, holds: false }, { type: "released" });
      }
      case "reacquire":
        return end(
          {
            // What was not released is not taken back.
            hasReleased: false,
            holds: holds || hasReleased && !failed,
            doesWithout: hasReleased ? failed : process.doesWithout,
          },
          { type: "reacquired", problem: failed ? "no" : null },
        );
    }
  }

  /** A child says `fail` by itself. */
  fail(world: World, id: number): World {
    return sendUp(world, id, this.post.write({ type: "fail", message: "no", stack: "" }));
  }

  #newborn(id: number, parent: number, generation: number): Process {
    return {
      id,
      parent,
      generation,
      isAlive: true,
      isFrozen: false,
      hasJoined: false,
      state: this.#subject.machine.initialState(false),
      timers: [],
      accepting: false,
      opening: false,
      hasAccepted: false,
      waiting: [],
      readyCalls: 0,
      upgradeCalls: 0,
      spawning: "no",
      child: -1,
      over: true,
      once: "",
      signals: [],
      down: [],
      up: [],
      told: [],
      isTorn: false,
      endNoticed: parent === -1,
      exitNoticed: false,
      tearNoticed: false,
      calledOff: false,
      hasOwned: false,
      work: [],
      // It may open it as soon as it runs.
      holds: this.#isExclusive,
      hasReleased: false,
      doesWithout: false,
      key: 0,
    };
  }

  #run(draft: Draft, id: number, effect: Effect, queue: Event[], chance: Chance): void {
    const process = processOf(draft, id);
    switch (effect.type) {
      case "spawn":
        // What comes too late of an attempt that is over is ended at once (succession.ts).
        if (process.spawning !== "no" && !process.over) {
          throw new Broken("a second child is started");
        }
        // In a sequential upgrade the command is known since the pause.
        set(draft, id, {
          spawning: isPaused(process) ? "process" : "command",
          over: false,
          child: -1,
        });
        break;
      case "send-child":
        this.#sendDown(draft, process.child, { type: effect.frame });
        break;
      case "abort-child":
        if (process.spawning === "command") {
          queue.push({ type: "spawn-failed", failure: failure("ERR_ABORTED") });
          set(draft, id, { spawning: "no", over: true });
        } else this.#sendDown(draft, process.child, { type: "abort", reason: effect.reason });
        break;
      case "kill-child": {
        const child = draft.processes[process.child];
        if (!child?.isAlive || process.over) break;
        // A second SIGKILL is nothing.
        if (child.signals.includes("SIGKILL")) break;
        if (effect.signal === "SIGKILL" && !child.told.includes("abort")) {
          throw new Broken(`process ${child.id + 1} is killed without having been asked`);
        }
        if (child.told.includes(effect.signal)) {
          throw new Broken(`process ${child.id + 1} gets ${effect.signal} twice`);
        }
        set(draft, child.id, {
          signals: [...child.signals, effect.signal],
          told: [...child.told, effect.signal],
          calledOff: true,
        });
        break;
      }
      case "send-parent": {
        const { generation } = process;
        const frame: Frame = effect.frame === "owned" ? { type: "owned" } : {
          type: "ready",
          pid: id + 1,
          generation,
          runtime: "model",
          version: "1",
          used: ["web"],
        };
        if (process.told.includes(`said ${effect.frame}`)) {
          throw new Broken(`process ${id + 1} says \`${effect.frame}\` twice`);
        }
        set(draft, id, { told: [...process.told, `said ${effect.frame}`] });
        Object.assign(draft, sendUp(draft, id, this.post.write(frame)));
        break;
      }
      case "fail-to-parent":
        Object.assign(draft, this.fail(draft, id));
        break;
      case "start-timer":
        // One that was ready all the same is given more time, and so is each step of a sequential upgrade.
        if (
          process.timers.includes(effect.timer) && effect.patient !== true &&
          (effect.timer !== "upgrade" || !isPaused(process))
        ) {
          throw new Broken(`process ${id + 1} starts timer ${effect.timer} while it runs`);
        }
        set(draft, id, { timers: [...new Set([...process.timers, effect.timer])].sort() });
        break;
      case "clear-timer":
        set(draft, id, { timers: process.timers.filter((timer) => timer !== effect.timer) });
        break;
      case "close-inherited":
        break;
      case "start-accepting":
        // Those that are open already stay so: ready() may be called again when the PID file could not be written.
        if (process.opening) {
          throw new Broken(`process ${id + 1} opens its listeners twice`);
        }
        set(draft, id, { opening: true, hasAccepted: true });
        draft.hasBegun = true;
        break;
      case "stop-accepting":
        if (isPaused(process)) {
          throw new Broken(`process ${id + 1} closes its listening sockets in a pause`);
        }
        // What is being opened answers all the same.
        set(draft, id, { accepting: false });
        break;
      case "take-names":
        if (chance.namesFail === true) {
          draft.namesFailed = true;
          draft.failedUnaware ||= isUnaware(draft, process);
          queue.push({ type: "names-failed", failure: failure("ERR_CHILD_FAILED") });
        } else {
          draft.pidFile = id;
          set(draft, id, { hasOwned: true });
          queue.push({ type: "names-taken" });
        }
        break;
      case "reclaim-names":
        draft.pidFile = id;
        break;
      case "leave-names":
        if (draft.pidFile === id) throw new Broken("the successor does not have the PID file");
        break;
      case "remove-names":
        // The path is the same file through all generations.
        draft.hasPath = false;
        if (draft.pidFile === id || !process.over && draft.pidFile === process.child) {
          draft.pidFile = -1;
        }
        break;
      case "resolve":
      case "reject":
        if (!process.waiting.includes(effect.request)) {
          throw new Broken(`request ${effect.request} of process ${id + 1} is answered twice`);
        }
        if (effect.type === "resolve") checkSuccess(draft, id, effect.request);
        set(draft, id, { waiting: process.waiting.filter((each) => each !== effect.request) });
        break;
      case "resolve-exit":
        once(draft, id, "exit");
        break;
      case "release-child": {
        const child = draft.processes[process.child];
        if (child !== undefined) {
          if (child.told.includes("released")) throw new Broken("a child is released twice");
          // What it still says is heard by nobody.
          set(draft, child.id, { told: [...child.told, "released"], up: [] });
        }
        set(draft, id, { over: true });
        break;
      }
      case "dispose":
        once(draft, id, "dispose");
        set(draft, id, { timers: [] });
        break;
      case "emit":
      case "ignore":
        break;
      case "pause-accepting":
        set(draft, id, { over: false, child: -1, spawning: "no" });
        begins(draft, id, "pause");
        break;
      case "release-resources":
        begins(draft, id, "release");
        break;
      case "reacquire-resources":
        // Nobody waits for the connections any more.
        set(draft, id, { work: process.work.filter(({ what }) => what !== "finish") });
        begins(draft, id, "reacquire");
        break;
      case "resume-accepting":
        set(draft, id, {
          accepting: true,
          work: process.work.map((work) => ({ ...work, isLate: true })),
          // What is not back yet may come back later.
          doesWithout: process.doesWithout ||
            process.work.some(({ what }) => what === "reacquire"),
        });
        break;
    }
  }

  #sendDown(draft: Draft, child: number, frame: Frame): void {
    const process = draft.processes[child];
    if (process === undefined) return;
    if (process.told.includes(frame.type)) {
      throw new Broken(`process ${child + 1} is told \`${frame.type}\` twice`);
    }
    const calledOff = process.calledOff || frame.type === "abort";
    const told = [...process.told, frame.type];
    set(draft, child, { told, calledOff });
    if (!process.isAlive || process.isTorn) return;
    set(draft, child, { down: [...process.down, this.post.write(frame)] });
  }
}

/** The process of a number. */
export function processOf(world: Pick<World, "processes">, id: number): Process {
  return world.processes[id] as Process;
}

/** A process that runs no line of code any more. */
export function dies(world: World, id: number): World {
  return change(world, id, {
    isAlive: false,
    // Of one that is dead nobody asks what it was.
    state: { name: "exited", because: "stopped" },
    once: "",
    hasAccepted: false,
    endNoticed: true,
    work: [],
    holds: false,
    isFrozen: false,
    accepting: false,
    opening: false,
    timers: [],
    waiting: [],
    spawning: "no",
    signals: [],
    down: [],
  });
}

/** Whether a process does not know yet that its parent has died. */
export function isUnaware(
  world: Pick<World, "processes">,
  { parent, endNoticed }: Process,
): boolean {
  return parent !== -1 && !endNoticed && !processOf(world, parent).isAlive;
}

function sendUp(world: World, id: number, letter: Letter): World {
  const { up, parent, isTorn } = processOf(world, id);
  const above = world.processes[parent];
  const hears = above?.isAlive && !above.over && above.child === id && !isTorn;
  return hears ? change(world, id, { up: [...up, letter] }) : world;
}

function set(draft: Draft, id: number, changes: Partial<Process>): void {
  draft.processes = change(draft, id, changes).processes;
}

function begins(draft: Draft, id: number, what: Work["what"]): void {
  set(draft, id, { work: [...processOf(draft, id).work, { what, isLate: false }] });
}

function once(draft: Draft, id: number, what: string): void {
  const { once: done } = processOf(draft, id);
  if (done.includes(what)) throw new Broken(`process ${id + 1} does "${what}" twice`);
  set(draft, id, { once: `${done} ${what}` });
}

/** Nobody is told of a success that is none. */
function checkSuccess(draft: Draft, id: number, request: number): void {
  const { state, child } = processOf(draft, id);
  if (request < 10) {
    // `ready()`: the owner, or watched.
    const watched = state.name === "starting" && state.phase === "probation";
    if (state.name !== "serving" && !watched) {
      throw new Broken(`ready() of process ${id + 1} succeeds while it is ${state.name}`);
    }
  } else if (state.name !== "draining" || !draft.processes[child]?.hasOwned) {
    throw new Broken(`upgrade() of process ${id + 1} succeeds without a successor that owns`);
  }
}

function abort(reason: string): Event {
  return { type: "parent-abort", reason };
}

function fromParent(frame: Frame): Event | undefined {
  switch (frame.type) {
    case "probation":
      return { type: "parent-probation" };
    case "commit":
      return { type: "parent-commit" };
    case "abort":
      return abort(frame.reason);
    default:
      return undefined;
  }
}

function fromChild(frame: Frame): Event | undefined {
  switch (frame.type) {
    case "ready":
      return { type: "child-ready" };
    case "owned":
      return { type: "commit-acked" };
    case "fail":
      return { type: "child-failed", failure: failure("ERR_CHILD_FAILED") };
    default:
      return undefined;
  }
}

/** The state of a process by name, for checks. */
export function isOwner({ state, isAlive }: Process): boolean {
  return isAlive && OWNERS.includes(state.name);
}

const OWNERS: readonly State["name"][] = ["serving", "upgrading", "probation"];
