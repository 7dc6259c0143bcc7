// Proves, or disproves, that no request is lost: upgrades a loaded server many times through random runtimes and counts
// every request with the raw-socket client of `bench/load`, which never retries.
//
//   npm run prove -- --upgrades 100 --every-ms 2000 --seed 1 [--server KIND] [--unix] [--only deno,bun]
//     [--think-ms 20] [--timeout-ms 30000]  (a machine that is busy with something else)
//
// KIND: node:http, node:https, node:net, native ("Deno.serve", "Bun.serve"; node:http on Node), "native tls".
// Ends with a table, writes bench/results/prove-<kind>.json, and exits non-zero when a request was lost.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { discover } from "../scripts/runtimes.mjs";
import { Random } from "../tests/support/random.ts";
import type { UpgradeReport } from "../mod.ts";
import { startLoad } from "./load/load.ts";
import { EVENTS_PATH } from "./long_lived.ts";

const { values } = parseArgs({
  options: {
    upgrades: { type: "string", default: "100" },
    "every-ms": { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
    "think-ms": { type: "string", default: "0" },
    "timeout-ms": { type: "string", default: "5000" },
    only: { type: "string" },
    server: { type: "string", default: "node:http" },
    unix: { type: "boolean", default: false },
  },
});
const SERVERS = ["node:http", "node:https", "node:net", "native", "native tls"];
if (!SERVERS.includes(values.server)) {
  throw new TypeError(`--server is "${values.server}", expected one of ${SERVERS.join(", ")}`);
}
const secure = values.server === "node:https" || values.server === "native tls";
if (secure && values.unix) throw new TypeError("--unix is without TLS");
// HTTP by hand, on `node:net`, knows GET alone.
const populations = {
  keepAlive: 24,
  oneShot: 8,
  ...(values.server === "node:net"
    ? {}
    : { post: 8, webSocket: 4, sse: { clients: 4, path: EVENTS_PATH } }),
};
const upgrades = Number(values.upgrades);
const everyMs = Number(values["every-ms"]);
const wanted = values.only?.split(",");
const runtimes = discover().present.filter(({ name }) =>
  wanted === undefined || wanted.includes(name)
);
if (runtimes.length === 0) throw new RangeError(`No runtime fits --only ${values.only}`);

/** `prove.json` for the first kind, `prove-native-tls.json`, `prove-unix.json`. */
function nameOf(server: string, unix: boolean): string {
  const kind = server === "node:http" ? [] : [server.replace("node:", "").replace(" ", "-")];
  return ["prove", ...kind, ...(unix ? ["unix"] : [])].join("-");
}

const random = new Random(Number(values.seed));
const pick = () => random.pick(runtimes);

const folder = mkdtempSync(join(tmpdir(), "changeover-prove-"));
const next = join(folder, "next.json");
const script = fileURLToPath(new URL("./prove_server.ts", import.meta.url));

interface Said {
  readonly ready?: number;
  readonly pid?: number;
  readonly port?: number;
  readonly upgraded?: UpgradeReport;
  readonly failed?: string;
  readonly drained?: { readonly cut: number };
}
const said: Said[] = [];
let wake = () => {};
async function heard<K extends keyof Said>(
  key: K,
  matches: (value: Said) => boolean = () => true,
): Promise<Said> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const found = said.find((line) => line[key] !== undefined && matches(line));
    if (found !== undefined) return found;
    const failure = said.find((line) => line.failed !== undefined);
    if (failure !== undefined) throw new Error(`An upgrade failed: ${failure.failed}`);
    if (performance.now() > deadline) throw new Error(`Nobody said "${key}" in 30 s`);
    await Promise.race([new Promise<void>((resolve) => wake = resolve), sleep(250)]);
  }
}

const [file = "", ...args] = pick().command(script);
const first = spawn(file, args, {
  stdio: ["ignore", "pipe", "inherit"],
  env: {
    ...process.env,
    NEXT: next,
    SERVER: values.server,
    ...(values.unix ? { UNIX: join(folder, "main.sock") } : {}),
  },
});
createInterface({ input: first.stdout }).on("line", (line) => {
  if (line.startsWith("{")) said.push(JSON.parse(line));
  wake();
});

let pid = 0;
try {
  const ready = await heard("ready");
  pid = ready.pid as number;
  const load = startLoad({
    target: values.unix
      ? { path: join(folder, "main.sock") }
      : { port: ready.port as number, hostname: "127.0.0.1", tls: secure },
    ...populations,
    thinkMs: Number(values["think-ms"]),
    timeoutMs: Number(values["timeout-ms"]),
    proberMs: 5,
    maxMs: (upgrades + 5) * (everyMs + 1500) + 10_000,
    label: "steady",
  });
  const took: number[] = [];
  await sleep(everyMs);
  for (let upgrade = 1; upgrade <= upgrades; upgrade++) {
    writeFileSync(next, JSON.stringify(pick().command(script)));
    load.mark("flip");
    process.kill(pid, "SIGHUP");
    const generation = upgrade + 1;
    pid = (await heard("ready", (line) => line.ready === generation)).pid as number;
    const { upgraded } = await heard(
      "upgraded",
      (line) => line.upgraded?.generation === generation,
    );
    took.push(upgraded?.durationMs ?? NaN);
    await sleep(1000);
    load.mark("steady");
    await sleep(Math.max(0, everyMs - 1000));
    if (upgrade % 10 === 0) {
      const { answered, lost } = load.snapshot();
      console.error(`${upgrade} upgrades, ${answered} answered, ${lost} lost`);
    }
  }
  const report = await load.stop();
  const cut = said.reduce((sum, { drained }) => sum + (drained?.cut ?? 0), 0);
  took.sort((a, b) => a - b);
  const result = {
    command: `npm run prove -- ${process.argv.slice(2).join(" ")}`.trim(),
    date: new Date().toISOString(),
    machine: `${process.platform}-${process.arch}, ${cpus().length} cores`,
    client: `node ${process.versions.node}`,
    runtimes: runtimes.map(({ name }) => name),
    server: values.server,
    socket: values.unix ? "Unix" : "TCP",
    upgrades,
    requests: report.sent,
    answered: report.answered,
    lost: report.lost,
    lossKinds: report.lossKinds,
    proberRequests: report.prober?.sent,
    proberLost: report.prober?.lost,
    consistent: report.consistent,
    inconsistencies: report.inconsistencies,
    events: report.events,
    closes: report.connections.endings,
    connectionsCut: cut,
    populations: report.populations,
    windows: report.windows,
    upgradeMs: { median: took[took.length >> 1], max: took.at(-1) },
  };
  mkdirSync(new URL("./results/", import.meta.url), { recursive: true });
  writeFileSync(
    new URL(`./results/${nameOf(values.server, values.unix)}.json`, import.meta.url),
    JSON.stringify(result, null, 2) + "\n",
  );
  const rows = ["keepAlive", "oneShot", "post", "webSocket", "sse"].map((name) => {
    const { sent, answered, lost } = report.populations[name] ?? {};
    return [name, name in populations ? { sent, answered, lost } : { sent: "left out" }] as const;
  });
  const { sent, answered, lost } = report;
  console.table({
    ...Object.fromEntries(rows),
    "all of them": { sent, answered, lost },
    prober: {
      sent: report.prober?.sent,
      answered: report.prober?.answered,
      lost: report.prober?.lost,
    },
  });
  console.log(
    `${upgrades} upgrades, ${report.events} events in streams, ` +
      (report.consistent ? "consistent" : `NOT CONSISTENT: ${report.inconsistencies.join("; ")}`),
  );
  if (report.lost > 0) console.log(report.lossKinds);
  process.exitCode = report.lost === 0 && (report.prober?.lost ?? 0) === 0 && report.consistent
    ? 0
    : 1;
} finally {
  for (const { pid: each } of said) {
    if (each === undefined) continue;
    try {
      process.kill(each, each === pid ? "SIGTERM" : "SIGKILL");
    } catch {
      // It has left by itself, as it should.
    }
  }
  rmSync(folder, { recursive: true });
}
