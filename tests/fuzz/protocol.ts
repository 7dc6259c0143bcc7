// `npm run fuzz`: a million hostile inputs for the decoder of the channel and the variable CHANGEOVER; ends with 1 when
// one was read wrongly. Each round has a seed of its own, which `--seed` repeats.
import process from "node:process";
import { parseArgs } from "node:util";
import {
  fuzzFrames,
  fuzzInvitation,
  fuzzMadeUp,
  type FuzzTally,
} from "../support/protocol_fuzz.ts";

const ROUND = 50_000;

const { values } = parseArgs({
  options: {
    inputs: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
  },
});
const [inputs, first] = [Number(values.inputs), Number(values.seed)];
if (!(inputs > 0) || !Number.isSafeInteger(first)) {
  console.error("Usage: npm run fuzz -- [--inputs N] [--seed N]");
  process.exit(2);
}

// Half of them changed frames, a quarter changed variables, a quarter made up.
const parts: readonly [name: string, share: number, (seed: number, inputs: number) => FuzzTally][] =
  [
    ["changed frames", 0.5, fuzzFrames],
    ["changed variables", 0.25, fuzzInvitation],
    ["made up", 0.25, fuzzMadeUp],
  ];
let done = 0;
let wrong = 0;
for (const [name, share, fuzz] of parts) {
  const sum = { inputs: 0, read: 0, refused: 0 };
  for (let seed = first; sum.inputs < inputs * share; seed++) {
    const tally = fuzz(seed, Math.min(ROUND, Math.ceil(inputs * share - sum.inputs)));
    sum.inputs += tally.inputs;
    sum.read += tally.read;
    sum.refused += tally.refused;
    for (const problem of tally.wrong) console.log(`seed ${seed}, ${name}: ${problem}`);
    wrong += tally.wrong.length;
  }
  console.log(`${name}: ${sum.inputs} inputs, ${sum.read} read, ${sum.refused} refused`);
  done += sum.inputs;
}
console.log(`${done} inputs with seeds from ${first} on, ${wrong} wrong`);
process.exitCode = wrong === 0 ? 0 : 1;
