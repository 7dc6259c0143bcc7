// `npm run model`: explores the state machine more deeply than the tests do, and says how far.
import process from "node:process";
import { parseArgs } from "node:util";
import { explore } from "./explore.ts";

const { values } = parseArgs({
  options: {
    processes: { type: "string", default: "3" },
    troubles: { type: "string", default: "2" },
    upgrades: { type: "string", default: "2" },
    punctual: { type: "boolean", default: false },
    depth: { type: "string", default: "1000" },
    states: { type: "string", default: "8000000" },
  },
});
const count = (name: Exclude<keyof typeof values, "punctual">, least: number): number => {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= least) return value;
  throw new RangeError(`--${name} ${values[name]} is not a whole number of at least ${least}`);
};
const bounds = {
  processes: count("processes", 1),
  troubles: count("troubles", 0),
  upgrades: count("upgrades", 0),
  depth: count("depth", 1),
  punctual: values.punctual,
};
for (const probation of [false, true]) {
  const begin = performance.now();
  const found = explore({ ...bounds, probation }, undefined, count("states", 1));
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  console.log(
    `${probation ? "with" : "without"} probation: ${found.states} states, ${found.steps} steps, ` +
      `depth ${found.depth}, ${found.rests} at rest, ${seconds} s${
        found.isCut ? "; not all: the limit of states was reached" : ""
      }`,
  );
  if (found.story === undefined) continue;
  console.log(found.story);
  process.exitCode = 1;
}
