// Runs on: node26
import assert from "node:assert/strict";
import { test } from "node:test";
import { MUTANTS, QUICK } from "./mutants.ts";
import { applies, exploreMutant } from "./mutate.ts";

/*
 * That the exploration finds nothing in the machine means something only if it finds what is put there. All ways to
 * break it are tried by `npm run model:mutate`; here those that are found soonest, and that fit the sources as they are.
 */

const AT_LEAST = 10;

const some = MUTANTS.filter((mutant) => QUICK.includes(mutant.name) && applies(mutant));

test("the exploration has enough ways to break the machine", () => {
  assert.ok(some.length >= AT_LEAST, `only ${some.length}; run "npm run model:mutate"`);
});

for (const mutant of some) {
  test(`the exploration finds it when ${mutant.name}`, { timeout: 60_000 }, async () => {
    const { story, broken } = await exploreMutant(mutant);
    assert.match(story ?? "", /^A way of \d+ steps? to a broken promise\n/);
    assert.notEqual(broken, undefined);
  });
}
