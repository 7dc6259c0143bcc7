import assert from "node:assert/strict";
import { test } from "node:test";
import { Engine, type OuterEffect } from "../../src/engine.ts";
import { type Event, initialState, type State } from "../../src/machine.ts";
import { fakeBackend } from "../../src/testing/mod.ts";

interface Rig {
  readonly engine: Engine;
  readonly done: string[];
  readonly entered: string[];
  readonly advance: (ms: number) => Promise<void>;
  readonly pending: () => number;
}

/** An engine whose effects are remembered; `react` may dispatch in the middle of them. */
function rig(
  state: State,
  react: (effect: OuterEffect, engine: Engine) => void = () => {},
): Rig {
  const { clock } = fakeBackend();
  const done: string[] = [];
  const entered: string[] = [];
  const engine: Engine = new Engine(state, {
    clock,
    duration: (timer, patient) =>
      ({ pause: 2000, upgrade: 1000, probation: 500, kill: patient ? 300 : 20 })[timer],
    run: (effect) => {
      done.push(effect.type);
      react(effect, engine);
    },
    entered: ({ name }) => void entered.push(name),
  });
  return {
    engine,
    done,
    entered,
    advance: (ms) => clock.advance(ms),
    pending: () => clock.pending,
  };
}

const SERVING: State = { name: "serving" };
const UPGRADE: Event = {
  type: "upgrade-requested",
  request: 1,
  probation: false,
  sequential: false,
  draining: 0,
  maxDraining: 2,
};
const FAILURE = { code: "ERR_CHILD_FAILED", message: "no" } as const;

test("effects are carried out in order, and timers and reasons to ignore are the engine's own", () => {
  const { engine, done, entered } = rig(SERVING);
  engine.dispatch(UPGRADE);
  engine.dispatch({ type: "spawned" });
  engine.dispatch({ type: "child-ready" });
  engine.dispatch({ type: "child-ready" });
  engine.dispatch({ type: "commit-acked" });
  assert.deepEqual(done, [
    "emit",
    "spawn",
    "emit",
    "emit",
    "send-child",
    "emit",
    "stop-accepting",
    "leave-names",
    "release-child",
    "resolve",
    "resolve-exit",
    "emit",
  ]);
  assert.deepEqual(entered, ["upgrading", "draining"]);
});

test("an event that arrives in the middle of an effect waits until all effects are done", () => {
  const { engine, done } = rig(initialState(false), (effect, engine) => {
    if (effect.type === "close-inherited") engine.dispatch({ type: "stop-called" });
    if (effect.type === "start-accepting") engine.dispatch({ type: "opened" });
  });
  engine.dispatch({ type: "ready-called", request: 1 });
  // All of ready-called, then all of stop-called, then opened, which closes what has opened too late.
  assert.deepEqual(done, [
    "close-inherited",
    "start-accepting",
    "reject",
    "stop-accepting",
    "close-inherited",
    "remove-names",
    "resolve-exit",
    "emit",
    "stop-accepting",
  ]);
});

test("effects see the new state, and entered is called after them", () => {
  const seen: string[] = [];
  const { engine, entered } = rig(SERVING, (_effect, engine) => {
    seen.push(`${engine.state.name} ${entered.length}`);
  });
  engine.dispatch(UPGRADE);
  assert.deepEqual(seen, ["upgrading 0", "upgrading 0"]);
  assert.deepEqual(entered, ["upgrading"]);
});

test("a step within a state is not entered again", () => {
  const { engine, entered } = rig(SERVING);
  engine.dispatch(UPGRADE);
  engine.dispatch({ type: "spawned" });
  assert.deepEqual(entered, ["upgrading"]);
});

test("an effect that throws does not stop the engine for ever", () => {
  let broken = true;
  const { engine } = rig(SERVING, () => {
    if (broken) throw new Error("broken");
  });
  assert.throws(() => engine.dispatch(UPGRADE), /broken/);
  broken = false;
  engine.dispatch({ type: "stop-called" });
  assert.equal(engine.state.name, "stopping");
});

test("the upgrade timer expires when its time is over, and not before", async () => {
  const { engine, done, advance } = rig(SERVING);
  engine.dispatch(UPGRADE);
  engine.dispatch({ type: "spawned" });
  await advance(999);
  assert.equal(done.includes("kill-child"), false);
  await advance(1);
  assert.equal(done.filter((type) => type === "kill-child").length, 1);
  await advance(20);
  assert.equal(done.filter((type) => type === "kill-child").length, 2);
  await advance(20);
  assert.equal(engine.state.name, "serving");
  assert.equal(done.at(-1), "emit");
});

test("a timer that is cleared does not expire", async () => {
  const { engine, advance, pending } = rig(SERVING);
  engine.dispatch(UPGRADE);
  assert.equal(pending(), 1);
  engine.dispatch({ type: "spawn-failed", failure: FAILURE });
  assert.equal(pending(), 0);
  await advance(5000);
  assert.equal(engine.state.name, "serving");
});

test("a timer that is started again runs from then on, once", async () => {
  const { engine, advance, pending } = rig({
    name: "upgrading",
    request: 1,
    probation: false,
    paused: false,
    phase: "aborting",
    failure: FAILURE,
    accepted: false,
    killed: false,
  });
  // Twice the same event would start the timer twice; only its second run counts.
  engine.dispatch({ type: "kill-timeout" });
  assert.equal(pending(), 1);
  await advance(19);
  assert.equal(engine.state.name, "upgrading");
  await advance(1);
  assert.equal(engine.state.name, "serving");
  assert.equal(pending(), 0);
});

test("a patient timer takes the patient time", async () => {
  const { engine, advance, done } = rig({
    name: "upgrading",
    request: 1,
    probation: false,
    paused: false,
    phase: "committing",
  });
  engine.dispatch({ type: "child-failed", failure: FAILURE });
  await advance(299);
  assert.equal(done.filter((type) => type === "kill-child").length, 1);
  await advance(1);
  assert.equal(done.filter((type) => type === "kill-child").length, 2);
});

test("dispose ends all timers", async () => {
  const { engine, advance, pending } = rig(SERVING);
  engine.dispatch(UPGRADE);
  engine.dispose();
  assert.equal(pending(), 0);
  await advance(5000);
  assert.equal(engine.state.name, "upgrading");
});
