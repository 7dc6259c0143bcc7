import assert from "node:assert/strict";
import { test } from "node:test";
import { type Event, initialState, type State, transition } from "../../src/machine.ts";

/*
 * Two machines, parent and child, with all that lies between them: frames on their way in both directions, signals,
 * timers, exit statuses, the PID file. Every interleaving is walked, with a crash, a stop and a failure at every point.
 */

type FrameType = "ready" | "owned" | "fail" | "probation" | "commit" | "abort";

interface Side {
  readonly state: State;
  readonly timers: readonly string[];
  readonly accepting: boolean;
  /** Whether it has ever accepted: from then on SIGTERM is a stop and not the end. */
  readonly hasAccepted: boolean;
  /** The request that waits. */
  readonly waiting: boolean;
  readonly isAlive: boolean;
  /** Answers that are to come: from the listeners, or from the system that starts a process. */
  readonly opening: boolean;
  readonly spawning: boolean;
  /** What a sequential upgrade waits for. */
  readonly step: string | null;
  /** Whether it holds what only one process may hold. */
  readonly holds: boolean;
}

interface World {
  readonly parent: Side;
  /** `null` before it was started. */
  readonly child: Side | null;
  readonly toChild: readonly FrameType[];
  readonly toParent: readonly FrameType[];
  readonly signals: readonly string[];
  /** Whether the parent has let go of the child. */
  readonly released: boolean;
  readonly childExitTold: boolean;
  readonly parentEndTold: boolean;
  /** Whose number the PID file has. */
  readonly pidFile: "parent" | "child" | "none";
  /** What has been done to it, each at most once. */
  readonly asked: boolean;
  readonly parentStopped: boolean;
  readonly parentCrashed: boolean;
  readonly childStopped: boolean;
  readonly childCrashed: boolean;
  readonly childReadyCalled: boolean;
  /** Whether the parent has told the child to go. */
  readonly calledOff: boolean;
  /** Whether a listener of the child did not open. */
  readonly openFailed: boolean;
  /** Whether the child could not take the names. */
  readonly namesFailed: boolean;
  /** Whether the application took too long to take back what it had released. */
  readonly notTakenBack: boolean;
}

type Draft = { -readonly [K in keyof World]: World[K] };
type Who = "parent" | "child";

const FAILURE = { code: "ERR_CHILD_FAILED", message: "no" } as const;
const EXITED = { code: "ERR_CHILD_EXITED", message: "no" } as const;

const dead = {
  accepting: false,
  isAlive: false,
  timers: [],
  opening: false,
  spawning: false,
  step: null,
  holds: false,
};

function begin(): World {
  return {
    parent: {
      state: { name: "serving" },
      timers: [],
      accepting: true,
      hasAccepted: true,
      waiting: false,
      isAlive: true,
      opening: false,
      spawning: false,
      step: null,
      holds: true,
    },
    child: null,
    toChild: [],
    toParent: [],
    signals: [],
    released: false,
    childExitTold: false,
    parentEndTold: false,
    pidFile: "parent",
    asked: false,
    parentStopped: false,
    parentCrashed: false,
    childStopped: false,
    childCrashed: false,
    childReadyCalled: false,
    calledOff: false,
    openFailed: false,
    namesFailed: false,
    notTakenBack: false,
  };
}

/** Dispatches an event as the engine does; `namesFail` decides how each taking of names ends. */
function dispatch(world: World, who: Who, event: Event, namesFail = false): World {
  const draft: Draft = { ...world };
  const queue: Event[] = [event];
  const side = () => draft[who] as Side;
  const change = (changes: Partial<Side>) => void (draft[who] = { ...side(), ...changes });
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const [state, effects] = transition(side().state, next);
    change({ state });
    for (const effect of effects) {
      switch (effect.type) {
        case "spawn":
          change({ spawning: true });
          break;
        case "send-child":
          if (draft.child?.isAlive) draft.toChild = [...draft.toChild, effect.frame];
          break;
        case "abort-child":
          draft.calledOff = true;
          if (draft.child?.isAlive) draft.toChild = [...draft.toChild, "abort"];
          break;
        case "kill-child":
          if (draft.child?.isAlive && !draft.signals.includes(effect.signal)) {
            draft.signals = [...draft.signals, effect.signal];
          }
          break;
        case "send-parent":
          if (draft.parent.isAlive) draft.toParent = [...draft.toParent, effect.frame];
          break;
        case "fail-to-parent":
          if (draft.parent.isAlive) draft.toParent = [...draft.toParent, "fail"];
          break;
        case "start-timer":
          change({ timers: [...new Set([...side().timers, effect.timer])].sort() });
          break;
        case "clear-timer":
          change({ timers: side().timers.filter((timer) => timer !== effect.timer) });
          break;
        case "start-accepting":
          change({ opening: true, hasAccepted: true });
          break;
        case "stop-accepting":
          change({ accepting: false, opening: false });
          break;
        case "pause-accepting":
          change({ accepting: false, step: effect.type });
          break;
        case "release-resources":
          change({ step: effect.type });
          break;
        case "reacquire-resources":
          // What survives SIGKILL is not waited for.
          assert.ok(
            !draft.child?.isAlive || draft.signals.includes("SIGKILL"),
            "nothing is taken back from a child that lives",
          );
          change({ step: effect.type });
          break;
        case "resume-accepting":
          if (side().step !== null) draft.notTakenBack = true;
          change({ accepting: true, step: null });
          break;
        case "take-names":
          if (namesFail) draft.namesFailed = true;
          else draft.pidFile = who;
          queue.push(
            namesFail ? { type: "names-failed", failure: FAILURE } : { type: "names-taken" },
          );
          break;
        case "reclaim-names":
          draft.pidFile = who;
          break;
        case "remove-names":
          if (draft.pidFile === who) draft.pidFile = "none";
          break;
        case "resolve":
        case "reject":
          assert.ok(side().waiting, "a request is answered once");
          change({ waiting: false });
          break;
        case "release-child":
          draft.released = true;
          break;
      }
    }
  }
  return draft;
}

const ON_FRAME: Readonly<Record<FrameType, Event>> = {
  ready: { type: "child-ready" },
  owned: { type: "commit-acked" },
  fail: { type: "child-failed", failure: FAILURE },
  probation: { type: "parent-probation" },
  commit: { type: "parent-commit" },
  abort: { type: "parent-abort", reason: "called off" },
};

/** How the steps of a sequential upgrade may end, and whether the process holds its resources then. */
const ON_STEP: Readonly<Record<string, readonly (readonly [Event, boolean])[]>> = {
  "pause-accepting": [[{ type: "paused" }, true], [{
    type: "pause-failed",
    failure: FAILURE,
  }, true]],
  "release-resources": [[{ type: "released" }, false], [{
    type: "release-failed",
    failure: FAILURE,
  }, false]],
  "reacquire-resources": [[{ type: "reacquired", problem: null }, true]],
};

const ON_TIMER: Readonly<Record<string, Event>> = {
  pause: { type: "timeout" },
  upgrade: { type: "timeout" },
  probation: { type: "probation-over" },
  kill: { type: "kill-timeout" },
};

const isLeaving = (side: Side) => ["draining", "stopping", "exited"].includes(side.state.name);

function endOf(world: World, who: Who): World {
  const side = world[who] as Side;
  return who === "parent"
    ? { ...world, parent: { ...side, ...dead } }
    : { ...world, child: { ...side, ...dead }, signals: [], toChild: [] };
}

/** What comes by itself, sooner or later. */
function inevitable(world: World): World[] {
  const { parent, child } = world;
  const next: World[] = [];
  if (parent.isAlive) {
    for (const timer of parent.timers) {
      const timers = parent.timers.filter((other) => other !== timer);
      next.push(
        dispatch({ ...world, parent: { ...parent, timers } }, "parent", ON_TIMER[timer] as Event),
      );
    }
    for (const [event, holds] of ON_STEP[parent.step ?? ""] ?? []) {
      // A process that was stopped meanwhile has given up the step.
      const told: World = { ...world, parent: { ...parent, step: null, holds } };
      next.push(isLeaving(parent) ? told : dispatch(told, "parent", event));
    }
    if (parent.spawning) {
      const asked: World = { ...world, parent: { ...parent, spawning: false } };
      next.push(dispatch(asked, "parent", { type: "spawn-failed", failure: FAILURE }));
      // Too late: the upgrader starts nothing any more.
      const over = world.released || isLeaving(parent);
      const started: World = {
        ...asked,
        child: {
          state: initialState(true),
          timers: [],
          accepting: false,
          hasAccepted: false,
          waiting: false,
          isAlive: true,
          opening: false,
          spawning: false,
          step: null,
          holds: true,
        },
      };
      if (!over) next.push(dispatch(started, "parent", { type: "spawned" }));
    }
    const [frame, ...rest] = world.toParent;
    if (frame !== undefined) {
      const taken: World = { ...world, toParent: rest };
      next.push(world.released ? taken : dispatch(taken, "parent", ON_FRAME[frame]));
    } else if (child !== null && !child.isAlive && !world.childExitTold) {
      const told: World = { ...world, childExitTold: true };
      next.push(
        world.released ? told : dispatch(told, "parent", { type: "child-exited", failure: EXITED }),
      );
    }
    if (isLeaving(parent) && parent.state.name !== "exited") {
      const drained = dispatch(world, "parent", { type: "drained" });
      if (drained.parent.state !== parent.state) next.push(drained);
    }
    if (parent.state.name === "exited") next.push(endOf(world, "parent"));
  }
  if (child?.isAlive && world.signals.includes("SIGKILL")) {
    next.push(endOf(world, "child")); // it runs no line of code any more
  } else if (child?.isAlive) {
    const [frame, ...rest] = world.toChild;
    if (frame !== undefined) {
      for (const namesFail of [false, true]) {
        next.push(dispatch({ ...world, toChild: rest }, "child", ON_FRAME[frame], namesFail));
      }
    } else if (!parent.isAlive && !world.parentEndTold) {
      for (const namesFail of [false, true]) {
        next.push(
          dispatch({ ...world, parentEndTold: true }, "child", { type: "parent-gone" }, namesFail),
        );
      }
    }
    const [signal, ...later] = world.signals;
    if (signal !== undefined) {
      const taken: World = { ...world, signals: later };
      next.push(
        !child.hasAccepted
          ? endOf(taken, "child")
          : dispatch(taken, "child", { type: "stop-called" }),
      );
    }
    if (child.opening) {
      const answered = { ...child, opening: false };
      for (const namesFail of [false, true]) {
        next.push(
          dispatch(
            { ...world, child: { ...answered, accepting: true } },
            "child",
            { type: "opened" },
            namesFail,
          ),
        );
      }
      next.push(
        dispatch(
          { ...world, child: answered, openFailed: true },
          "child",
          { type: "open-failed", failure: FAILURE },
        ),
      );
    }
    if (isLeaving(child) && child.state.name !== "exited") {
      const drained = dispatch(world, "child", { type: "drained" });
      if (drained.child?.state !== child.state) next.push(drained);
    }
    if (child.state.name === "exited") next.push(endOf(world, "child"));
  }
  return next;
}

/** What may come, or not. */
function possible(world: World, probation: boolean, sequential: boolean): World[] {
  const { parent, child } = world;
  const next: World[] = [];
  if (parent.isAlive) {
    if (!world.asked) {
      const asked: World = { ...world, asked: true, parent: { ...parent, waiting: true } };
      next.push(
        dispatch(asked, "parent", {
          type: "upgrade-requested",
          request: 1,
          probation,
          sequential,
          draining: 0,
          maxDraining: 2,
        }),
      );
    }
    if (!world.parentStopped) {
      next.push(dispatch({ ...world, parentStopped: true }, "parent", { type: "stop-called" }));
    }
    if (!world.parentCrashed) {
      next.push(endOf({ ...world, parentCrashed: true }, "parent"));
    }
  }
  if (child?.isAlive && !world.signals.includes("SIGKILL")) {
    if (!world.childReadyCalled && !isLeaving(child)) {
      const asked: World = {
        ...world,
        childReadyCalled: true,
        child: { ...child, waiting: true },
      };
      next.push(dispatch(asked, "child", { type: "ready-called", request: 1 }));
    }
    if (!world.childStopped) {
      next.push(dispatch({ ...world, childStopped: true }, "child", { type: "stop-called" }));
    }
    if (!world.childCrashed) next.push(endOf({ ...world, childCrashed: true }, "child"));
  }
  return next;
}

const owns = (side: Side | null) =>
  side !== null && side.isAlive && side.accepting && side.state.name !== "starting";

/** Whether clients wait in the kernel's queue, for this process or its child. */
const isPaused = ({ isAlive, state }: Side) => isAlive && "paused" in state && state.paused;

/** What holds at every moment. */
function always(world: World, sequential: boolean): void {
  const { parent, child } = world;
  const untouched = !world.parentStopped && !world.parentCrashed;
  const childLeft = world.childStopped || world.childCrashed;
  // The parent accepts until the child owns the service; what happens to the owner then is the owner's.
  if (untouched && !parent.accepting) {
    assert.ok(owns(child) || childLeft || isPaused(parent), "somebody accepts");
  }
  if (untouched && !childLeft) {
    assert.ok(parent.accepting || child?.accepting || isPaused(parent), "somebody accepts");
  }
  if (sequential && child?.isAlive && !world.signals.includes("SIGKILL")) {
    assert.ok(!parent.holds, "the child does not start before everything is released");
    assert.ok(!parent.accepting, "and nobody else accepts meanwhile");
  }
  // A dead parent's sockets are with the child, which stays unless it was told to go.
  if (
    world.parentCrashed && child?.isAlive && !childLeft && !world.calledOff && isLeaving(child)
  ) {
    // Except where two things break at once: the parent has died, which the child has not heard yet, and a listener
    // does not open or the PID file cannot be written. It says fail to nobody then, and leaves.
    assert.ok(world.openFailed || world.namesFailed, "it had no reason to leave");
  }
}

/** What holds when nothing more comes by itself. */
function atRest(world: World, sequential: boolean): void {
  const { parent, child } = world;
  const alive = [parent, ...child === null ? [] : [child]].filter((side) => side.isAlive);
  for (const side of alive) {
    if (side !== child || side.state.name !== "starting" || world.childReadyCalled) {
      assert.equal(side.waiting, false, "every request is answered");
    }
    assert.deepEqual(side.timers, [], "no timer runs");
    assert.ok(
      side.state.name === "serving" ||
        side.state.name === "starting" && side.state.phase === "initialising",
      "nobody is in between",
    );
  }
  const owners = alive.filter((side) => owns(side));
  assert.ok(owners.length <= 1, "there are no two owners");
  if (owners.length === 1) {
    const who = owners[0] === parent ? "parent" : "child";
    if (sequential && !world.notTakenBack) {
      assert.ok(owners[0]?.holds, "the owner holds what only one may hold");
    }
    // A child that is the owner although the file could not be written does without.
    const orphan = who === "child" && world.parentCrashed;
    if (!orphan) assert.equal(world.pidFile, who, "the PID file has the owner's number");
    assert.ok(alive.length === 1, "nobody is left besides the owner");
  }
  const crashed = world.parentCrashed || world.childCrashed;
  if (!world.parentStopped && !world.childStopped && !crashed) {
    assert.equal(owners.length, 1, "there is an owner");
  }
  // A child that is called off after it wrote its number leaves that to a parent that lives on.
  if (alive.length === 0 && !crashed && !world.calledOff) {
    assert.equal(world.pidFile, "none", "nobody's number is left behind");
  }
}

/** How a world came to be, for messages. */
function story(from: ReadonlyMap<string, string | null>, key: string): string {
  const steps: string[] = [];
  for (let at: string | null | undefined = key; at; at = from.get(at)) {
    const { parent, child, toChild, toParent, signals, pidFile }: World = JSON.parse(at);
    const show = (side: Side | null) =>
      side === null
        ? "-"
        : side.isAlive
        ? `${side.state.name}${"phase" in side.state ? `/${side.state.phase}` : ""}` +
          (side.accepting ? "+" : "")
        : "dead";
    steps.unshift(
      `${show(parent)} [${toChild}] [${toParent}] [${signals}] ${show(child)} pid=${pidFile}`,
    );
  }
  return steps.join("\n");
}

/** Walks all worlds. */
function explore(probation: boolean, sequential: boolean): number {
  const start = begin();
  const from = new Map<string, string | null>([[JSON.stringify(start), null]]);
  const todo = [start];
  for (let world = todo.shift(); world !== undefined; world = todo.shift()) {
    const key = JSON.stringify(world);
    let next: World[];
    try {
      always(world, sequential);
      next = inevitable(world);
      if (next.length === 0) atRest(world, sequential);
      next.push(...possible(world, probation, sequential));
    } catch (error) {
      (error as Error).message += `\n${story(from, key)}`;
      throw error;
    }
    for (const reached of next) {
      const name = JSON.stringify(reached);
      if (from.has(name)) continue;
      from.set(name, key);
      todo.push(reached);
    }
  }
  return from.size;
}

for (const sequential of [false, true]) {
  for (const probation of [false, true]) {
    test(
      `parent, child and clock in every order, ${
        sequential ? "one after the other" : "side by side"
      } ${
        probation ? "with" : "without"
      } probation: one owner, every request answered, the PID file right`,
      { timeout: 60_000 },
      () => {
        assert.ok(explore(probation, sequential) > 1000);
      },
    );
  }
}
