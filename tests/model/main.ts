// `npm run model`: explores the state machine more deeply than the tests do, and says how far.
import process from "node:process";
import { parseArgs } from "node:util";
import { explore } from "./explore.ts";

const { values } = parseArgs({
  options: {
    processes: { type: "string", default: "3" },
    troubles: { type: "string", default: "2" },
    upgrades: { type: "string", default: "2" },
    mode: { type: "string", default: "parallel,sequential" },
    punctual: { type: "boolean", default: false },
    whole: { type: "boolean", default: false },
    depth: { type: "string", default: "1000" },
    states: { type: "string", default: "8000000" },
  },
});
const count = (
  name: "processes" | "troubles" | "upgrades" | "depth" | "states",
  least: number,
): number => {
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
const MODES = ["parallel", "sequential", "either"] as const;
const modes = MODES.filter((mode) => values.mode.split(",").includes(mode));
if (modes.length === 0) throw new RangeError(`--mode ${values.mode} is none of ${MODES}`);
for (const [mode, probation] of modes.flatMap((mode) => [[mode, false], [mode, true]] as const)) {
  const begin = performance.now();
  const found = explore({ ...bounds, mode, probation }, undefined, {
    maxStates: count("states", 1),
    isReduced: !values.whole,
  });
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  console.log(
    `${mode}, ${
      probation ? "with" : "without"
    } probation: ${found.states} states, ${found.steps} steps, ` +
      `depth ${found.depth}, ${found.rests} at rest, ${found.alone} steps alone, ${seconds} s${
        found.isCut ? "; not all: the limit of states was reached" : ""
      }`,
  );
  if (found.story === undefined) continue;
  console.log(found.story);
  process.exitCode = 1;
}
