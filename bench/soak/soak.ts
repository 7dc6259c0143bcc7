// Random upgrades, failures, stops and pauses under mixed load with random runtimes: whether anything is lost, stays or
// names the wrong process. The seed repeats the sequence.
//
//   npm run soak -- --minutes 60 --seed 1 [--load 20]
//
// Ends with a verdict, writes bench/results/soak.json, and exits non-zero, with the story, at the first thing that is wrong.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { discover } from "../../scripts/runtimes.mjs";
import { type Load, startLoad } from "../load/load.ts";
import { EVENTS_PATH } from "../long_lived.ts";
import { Service, until } from "./service.ts";
import { FAILURES, type Step, stepsOf } from "./steps.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    load: { type: "string", default: "0" },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0)) throw new RangeError(`--minutes is "${values.minutes}", expected a number`);
if (!Number.isInteger(seed)) {
  throw new RangeError(`--seed is "${values.seed}", expected a whole number`);
}

const OPTIONS = { probationMs: 300 };
const runtimes = discover().present;
const byName = (name: string) => runtimes.find((each) => each.name === name)!;
const folder = mkdtempSync(join(tmpdir(), "changeover-soak-"));
const totals = { requests: 0, lost: 0, cut: 0 };
const done: Record<string, number> = {};
const story: string[] = [];
let service!: Service;
let loads: Load[] = [];

/** Starts a service and its clients. */
async function begin(name: string): Promise<void> {
  service = new Service(byName(name), folder, OPTIONS);
  await service.start();
  const shared = { thinkMs: 5, timeoutMs: 30_000, maxMs: 2 ** 31 - 1 };
  const longLived = { webSocket: 2, sse: { clients: 2, path: EVENTS_PATH } };
  const at = (port: number) => ({ target: { port, hostname: "127.0.0.1" } });
  // No client that always sends ahead: it has to repeat what it sent behind the last answer (RFC 9112, 9.3.2).
  loads = [
    startLoad({
      ...shared,
      ...at(service.port),
      keepAlive: 6,
      oneShot: 2,
      post: 3,
      slowReader: 1,
      slowWriter: 1,
      ...longLived,
      proberMs: 20,
    }),
    startLoad({
      ...shared,
      ...at(service.native),
      keepAlive: 6,
      oneShot: 2,
      post: 2,
      ...longLived,
      proberMs: 20,
    }),
  ];
}

/** Stops both, and looks what is left. */
async function end(): Promise<void> {
  for (const load of loads) {
    await load.stop();
    const report = await load.done;
    totals.requests += report.sent + (report.prober?.sent ?? 0);
    totals.lost += report.lost + (report.prober?.lost ?? 0);
    if (!report.consistent) throw new Error("the client's accounts do not add up");
  }
  await until("older generations have left", () => service.running().length === 1);
  await service.stop();
  totals.cut += service.cut;
  const left = readdirSync(folder).filter((file) => file !== "next.json");
  if (left.length > 0) throw new Error(`these files are left: ${left.join(", ")}`);
}

async function play(step: Step): Promise<void> {
  if (step.do === "rest") await sleep(step.ms);
  else if (step.do === "upgrade") {
    await service.upgrade(byName(step.to).command(service.script));
  } else if (step.do === "restart") {
    await end();
    await begin(step.to);
  } else {
    const command = step.how === "nothing"
      ? ["/is/not/there"]
      : byName(step.to).command(service.script, [step.how]);
    const code = await service.fail(command);
    const expected: readonly string[] = FAILURES[step.how];
    if (!expected.includes(code)) {
      throw new Error(`the caller was told ${code} instead of ${expected.join(" or ")}`);
    }
  }
  if (service.named() !== service.pid) {
    throw new Error(`the PID file names ${service.named()}, and ${service.pid} is the owner`);
  }
  for (const [index, load] of loads.entries()) {
    const { lost, losses, prober } = load.snapshot();
    if (lost + (prober?.lost ?? 0) === 0) continue;
    const server = index === 0 ? "node:http" : "the runtime's own server";
    throw new Error(`${server} lost: ${JSON.stringify([...losses, ...prober?.losses ?? []])}`);
  }
}

const busy: ChildProcess[] = Number(values.load) > 0
  ? [spawn("stress-ng", ["--cpu", values.load, "--quiet"], { stdio: "inherit" })]
  : [];
const stopAt = performance.now() + minutes * 60_000;
let wrong: string | undefined;
let count = 0;
try {
  const sequence = stepsOf(seed, runtimes.map(({ name }) => name));
  await begin(runtimes[seed % runtimes.length]!.name);
  while (performance.now() < stopAt) {
    const step = sequence.next().value;
    count += 1;
    story.push(`step ${count}: ${JSON.stringify(step)} at process ${service.pid}`);
    if (count % 20 === 0) console.error(`${count} steps, generation ${service.generation}`);
    await play(step);
    const key = step.do === "fail" ? `fail: ${step.how}` : step.do;
    done[key] = (done[key] ?? 0) + 1;
  }
  await end();
  if (totals.cut > 0) wrong = `${totals.cut} connections were cut`;
} catch (error) {
  wrong = (error as Error).message;
} finally {
  for (const load of loads) void load.stop();
  for (const child of busy) child.kill();
}
const verdict = wrong ?? "nothing was lost, left or wrong";
if (wrong !== undefined) {
  console.error([...story.slice(-20), ...service.story.slice(-60)].join("\n"));
}
await service.end();
rmSync(folder, { recursive: true, force: true });
const result = {
  command: `npm run soak -- ${process.argv.slice(2).join(" ")}`.trim(),
  date: new Date().toISOString(),
  verdict,
  steps: count,
  done,
  ...totals,
};
writeFileSync(
  new URL("../results/soak.json", import.meta.url),
  JSON.stringify(result, null, 2) + "\n",
);
console.log(`${count} steps, ${totals.requests} requests, ${totals.lost} lost: ${verdict}`);
process.exit(wrong === undefined ? 0 : 1);
