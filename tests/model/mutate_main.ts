// `npm run model:mutate`: breaks the machine in many ways, one at a time, and demands that the exploration finds each.
import process from "node:process";
import { MUTANTS } from "./mutants.ts";
import { applies, exploreMutant } from "./mutate.ts";

let missed = 0;
const only = process.argv[2];
for (const mutant of MUTANTS) {
  if (only !== undefined && !mutant.name.includes(only)) continue;
  const begin = performance.now();
  const found = applies(mutant) ? await exploreMutant(mutant) : undefined;
  const ms = Math.round(performance.now() - begin);
  const outcome = found === undefined
    ? `DOES NOT FIT src/${mutant.file}`
    : found.broken === undefined
    ? `NOT FOUND in ${found.states} states`
    : `found in ${found.states} states: ${found.broken}`;
  console.log(`${mutant.name}: ${outcome}, ${ms} ms`);
  if (only !== undefined && found?.story !== undefined) console.log(found.story);
  if (found?.broken === undefined) missed++;
}
console.log(`${MUTANTS.length} ways to break it, ${missed} not found`);
process.exitCode = missed === 0 ? 0 : 1;
