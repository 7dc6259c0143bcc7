// What adoption costs: throughput of a server that was given an inherited socket against the same server that bound its
// own, side by side, and how long one adoption takes.
//
//   npm run bench:adoption -- --instances 6 --rounds 4 --seconds 2 --only node26,deno,bun [--wrk]
//
// Both servers run at the same time; a client in a process of its own asks them in turn, A B B A, so that whatever else
// the machine does hits both alike. The figure is the median of the ratios of all rounds of several pairs of processes.
// The client is bench/load, or with --wrk that program, which takes less of the machine. Writes
// bench/results/adoption.json.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { discover } from "../scripts/runtimes.mjs";
import { type Generation, Generations } from "./adoption_chain.ts";
import type { Report } from "./load/load.ts";

const { values } = parseArgs({
  options: {
    instances: { type: "string", default: "6" },
    rounds: { type: "string", default: "4" },
    seconds: { type: "string", default: "2" },
    connections: { type: "string", default: "32" },
    adoptions: { type: "string", default: "3" },
    only: { type: "string", default: "node22,node24,node26,deno,bun" },
    wrk: { type: "boolean", default: false },
  },
});
const [instances, rounds, seconds, adoptions] = [
  values.instances,
  values.rounds,
  values.seconds,
  values.adoptions,
].map(Number) as [number, number, number, number];
const wanted = values.only.split(",");
const runtimes = discover().present.filter(({ name }) => wanted.includes(name));
const client = fileURLToPath(new URL("./load/main.ts", import.meta.url));

const sorted = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b);
const median = (numbers: readonly number[]) => sorted(numbers)[numbers.length >> 1] ?? NaN;
const quartiles = (numbers: readonly number[]) =>
  [numbers.length >> 2, (numbers.length * 3) >> 2].map((n) => round(sorted(numbers)[n] ?? NaN));
const round = (value: number, digits = 3) => Number(value.toFixed(digits));

/** Runs a program and returns what it printed. */
function output(file: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(text);
      else reject(new Error(`${file} ended with ${code}: ${text}`));
    });
  });
}

/** What one server did while it was saturated. */
interface Turn {
  /** Requests per second. */
  readonly rps: number;
  /** Processor time of the server for each, in microseconds: what other programs do changes it least. */
  readonly cpuUs: number;
}

async function saturate({ port, pid }: Generation, seconds: number): Promise<Turn> {
  const url = `http://127.0.0.1:${port}/`;
  const { connections } = values;
  const before = cpuMs(pid);
  let [requests, rps] = [NaN, NaN];
  if (values.wrk) {
    const text = await output("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, url]);
    requests = Number(/^\s*(\d+) requests in/m.exec(text)?.[1]);
    rps = Number(/^Requests\/sec:\s*([\d.]+)/m.exec(text)?.[1]);
  } else {
    const args = ["--url", url, "--keep-alive", connections, "--seconds", String(seconds)];
    const text = await output(process.execPath, [client, ...args, "--prober-ms", "0", "--json"]);
    ({ answered: requests, rps } = JSON.parse(text) as Report);
  }
  return { rps, cpuUs: (cpuMs(pid) - before) * 1000 / requests };
}

/** Processor time of a process so far; its fields 14 and 15 are in ticks of 10 ms (proc_pid_stat(5)). */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

type Runtime = typeof runtimes[number];
type Kind = "native" | "node";

/** What a pair of processes did. */
interface Instance {
  readonly turns: Record<"native" | "adopted", Turn[]>;
  readonly listenNativeMs: number;
  readonly listenAdoptedMs: readonly number[];
}

interface Row {
  readonly runtime: string;
  readonly server: string;
  readonly nativeRps: number;
  readonly adoptedRps: number;
  /** Median, and the middle half, of adopted / native of each round. */
  readonly ratio: number;
  readonly quartiles: readonly number[];
  /** The same of processor time per request, as native / adopted: more is better, too. */
  readonly cpuRatio: number;
  readonly cpuQuartiles: readonly number[];
  /** How long `listen` takes: bound natively, and adopted from a parent; medians, start of the server included. */
  readonly listenNativeMs: number;
  readonly listenAdoptedMs: number;
}

/** Fresh processes each time: the same program differs by some per cent from one process to the next. */
async function instance(runtime: Runtime, kind: Kind): Promise<Instance> {
  const native = new Generations(runtime, kind);
  const adopted = new Generations(runtime, kind);
  try {
    await adopted.newest();
    const listenAdoptedMs: number[] = [];
    for (let n = 0; n < adoptions; n++) {
      await adopted.upgrade();
      listenAdoptedMs.push((await adopted.newest()).listenMs);
    }
    const servers = { native: await native.newest(), adopted: await adopted.newest() };
    const order = ["native", "adopted"] as const;
    for (const which of order) await saturate(servers[which], 1); // the JITs are warm then
    const turns: Instance["turns"] = { native: [], adopted: [] };
    for (let n = 0; n < rounds; n++) {
      for (const which of n % 2 === 0 ? order : order.toReversed()) {
        turns[which].push(await saturate(servers[which], seconds));
      }
    }
    return { turns, listenNativeMs: servers.native.listenMs, listenAdoptedMs };
  } finally {
    await native.end();
    await adopted.end();
  }
}

async function compare(runtime: Runtime, kind: Kind): Promise<Row> {
  const seen: Instance[] = [];
  for (let n = 0; n < instances; n++) seen.push(await instance(runtime, kind));
  const native = seen.flatMap(({ turns }) => turns.native);
  const adopted = seen.flatMap(({ turns }) => turns.adopted);
  const pairs = native.map((native, n) => ({ native, adopted: adopted[n] as Turn }));
  const ratios = pairs.map(({ native, adopted }) => adopted.rps / native.rps);
  const cpuRatios = pairs.map(({ native, adopted }) => native.cpuUs / adopted.cpuUs);
  return {
    runtime: runtime.name,
    server: kind === "node" ? "node:http" : `${runtime.runtime === "bun" ? "Bun" : "Deno"}.serve`,
    nativeRps: Math.round(median(native.map(({ rps }) => rps))),
    adoptedRps: Math.round(median(adopted.map(({ rps }) => rps))),
    ratio: round(median(ratios)),
    quartiles: quartiles(ratios),
    cpuRatio: round(median(cpuRatios)),
    cpuQuartiles: quartiles(cpuRatios),
    listenNativeMs: round(median(seen.map(({ listenNativeMs }) => listenNativeMs)), 1),
    listenAdoptedMs: round(median(seen.flatMap(({ listenAdoptedMs }) => listenAdoptedMs)), 1),
  };
}

const versions: Record<string, string | undefined> = {};
const rows: Row[] = [];
const busy = [loadavg()[0] ?? NaN];
for (const runtime of runtimes) {
  versions[runtime.name] = (await output(runtime.executable, ["--version"])).split("\n")[0];
  const kinds = runtime.runtime === "node" ? ["node"] as const : ["native", "node"] as const;
  for (const kind of kinds) rows.push(await compare(runtime, kind));
  console.table(rows.slice(-kinds.length));
}
busy.push(loadavg()[0] ?? NaN);
const result = {
  command: `npm run bench:adoption -- ${process.argv.slice(2).join(" ")}`.trim(),
  date: new Date().toISOString(),
  machine: `${process.platform}-${process.arch}, ${cpus().length} cores`,
  loadAverage: busy.map((value) => round(value, 2)),
  client: values.wrk ? "wrk" : `bench/load on node ${process.versions.node}`,
  instances,
  rounds,
  seconds,
  connections: Number(values.connections),
  versions,
  rows,
};
mkdirSync(new URL("./results/", import.meta.url), { recursive: true });
writeFileSync(
  new URL("./results/adoption.json", import.meta.url),
  JSON.stringify(result, null, 2) + "\n",
);
