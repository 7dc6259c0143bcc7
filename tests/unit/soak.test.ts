// Runs on: node26
import assert from "node:assert/strict";
import { test } from "node:test";
import { growth, type Look } from "../../bench/soak/growth.ts";
import { FAILURES, type Step, stepsOf } from "../../bench/soak/steps.ts";

const take = (seed: number, count: number): Step[] => {
  const steps = stepsOf(seed, ["node26", "deno", "bun"]);
  return Array.from({ length: count }, () => steps.next().value);
};

test("a seed repeats the steps of a soak, another one has others", () => {
  assert.deepEqual(take(1, 200), take(1, 200));
  assert.notDeepEqual(take(1, 20), take(2, 20));
});

test("a soak does everything that it can do", () => {
  const steps = take(1, 2000);
  const kinds = new Set(steps.map((step) => step.do));
  assert.deepEqual([...kinds].sort(), ["fail", "rest", "restart", "upgrade"]);
  const failures = new Set(steps.flatMap((step) => step.do === "fail" ? step.how : []));
  assert.deepEqual([...failures].sort(), Object.keys(FAILURES).sort());
});

test("what grows in the second half is a leak, what comes and goes is none", () => {
  const flat: Look = {
    descriptors: 20,
    children: 0,
    files: 2,
    listeners: 4,
    resources: 3,
    heap: 10,
    resident: 50,
  };
  const looks = (change: (n: number) => Partial<Look>) =>
    Array.from({ length: 20 }, (_, n) => ({ ...flat, ...change(n) }));
  assert.deepEqual(growth("x", looks(() => ({}))), []);
  assert.deepEqual(growth("x", looks((n) => ({ descriptors: 20 + n % 2 }))), []);
  assert.match(growth("x", looks((n) => ({ descriptors: 20 + n })))[0] ?? "", /descriptors grew/);
  assert.match(growth("x", looks((n) => ({ heap: 10 + 0.2 * n })))[0] ?? "", /heap grew/);
  assert.match(growth("x", looks((n) => ({ resident: 20 + 10 * n })))[0] ?? "", /resident grew/);
});
