// `npm run fuzz:control`: throws HTTP garbage at a control socket for a while; ends with 1 when an answer was wrong. Each
// round has a seed of its own, which `--seed` repeats.
import process from "node:process";
import { parseArgs } from "node:util";
import { control } from "../support/control_client.ts";
import { fuzzControl } from "../support/control_fuzz.ts";
import { openControl } from "../support/control_socket.ts";

const ROUND = 2_000;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
  },
});
const [seconds, first] = [Number(values.seconds), Number(values.seed)];
if (!(seconds > 0) || !Number.isSafeInteger(first)) {
  console.error("Usage: npm run fuzz:control -- [--seconds N] [--seed N]");
  process.exit(2);
}

const cleanups: (() => unknown)[] = [];
const { path, socket, clock } = openControl(
  { after: (clean) => void cleanups.unshift(clean) },
  { upgrades: "refused" },
);
const statuses: Record<string, number> = {};
let connections = 0;
let wrong = 0;
const until = performance.now() + seconds * 1000;
for (let seed = first; performance.now() < until; seed++) {
  const tally = await fuzzControl(path, seed, ROUND);
  connections += tally.connections;
  for (const [status, count] of Object.entries(tally.statuses)) {
    statuses[status] = (statuses[status] ?? 0) + count;
  }
  for (const problem of tally.wrong) console.log(`seed ${seed}: ${problem}`);
  wrong += tally.wrong.length;
  const mib = Math.round(process.memoryUsage().rss / 2 ** 20);
  console.log(`seed ${seed}: ${connections} connections, ${wrong} wrong, ${mib} MiB`);
}
const after = await control(path, "GET", "/status");
socket.leave();
await clock.advance(0);
await socket.left;
for (const clean of cleanups) await clean();
console.log(
  JSON.stringify({ connections, wrong, statuses, answersAfterwards: after.status === 200 }),
);
process.exitCode = wrong === 0 && after.status === 200 ? 0 : 1;
