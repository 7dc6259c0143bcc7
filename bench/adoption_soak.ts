// Many upgrades in a row of `Bun.serve` and of `Deno.serve`, each by its own runtime: counts lost new connections, and
// measures what the newest process has of descriptors and memory, which must not grow from generation to generation.
//
//   npm run soak:adoption -- --upgrades 200 --only bun,deno
//
// Exits non-zero when a connection was lost or something grew.
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { discover } from "../scripts/runtimes.mjs";
import { type Generation, Generations } from "./adoption_chain.ts";
import { startLoad } from "./load/load.ts";

const { values } = parseArgs({
  options: {
    upgrades: { type: "string", default: "200" },
    only: { type: "string", default: "bun,deno" },
  },
});
const upgrades = Number(values.upgrades);
const wanted = values.only.split(",");
const runtimes = discover().present.filter(({ name }) => wanted.includes(name));
if (runtimes.length === 0) throw new RangeError(`No runtime fits --only ${values.only}`);

/** What a process has, once the previous one is gone. */
function measure({ pid }: Generation): { descriptors: number; mebibytes: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    mebibytes: Number(/^RssAnon:\s*(\d+)/m.exec(status)?.[1]) / 1024,
  };
}

const median = (numbers: readonly number[]) =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? NaN;

let failed = false;
for (const runtime of runtimes) {
  const chain = new Generations(runtime);
  try {
    const { port } = await chain.newest();
    const load = startLoad({
      target: { port, hostname: "127.0.0.1" },
      proberMs: 2,
      maxMs: 600_000,
    });
    const seen: { descriptors: number; mebibytes: number }[] = [];
    const took: number[] = [];
    for (let n = 1; n <= upgrades; n++) {
      took.push((await chain.upgrade()).durationMs);
      // Probes come and go: the fewest of some looks are what stays.
      const looks = [];
      for (let look = 0; look < 5; look++) {
        looks.push(measure(await chain.newest()));
        await sleep(3);
      }
      seen.push({
        descriptors: Math.min(...looks.map(({ descriptors }) => descriptors)),
        mebibytes: Math.min(...looks.map(({ mebibytes }) => mebibytes)),
      });
    }
    const { prober } = await load.stop();
    const quarter = Math.max(1, seen.length >> 2);
    const [early, late] = [seen.slice(0, quarter), seen.slice(-quarter)];
    const of = (part: typeof seen, key: keyof typeof seen[0]) => median(part.map((it) => it[key]));
    const row = {
      runtime: runtime.name,
      upgrades,
      connections: prober?.sent,
      lost: prober?.lost,
      "descriptors, first quarter": of(early, "descriptors"),
      "descriptors, last quarter": of(late, "descriptors"),
      "MiB, first quarter": Math.round(of(early, "mebibytes") * 10) / 10,
      "MiB, last quarter": Math.round(of(late, "mebibytes") * 10) / 10,
      "upgrade ms, median": Math.round(median(took)),
    };
    console.table([row]);
    failed ||= prober?.lost !== 0 ||
      of(late, "descriptors") > of(early, "descriptors") ||
      of(late, "mebibytes") > of(early, "mebibytes") * 1.1 + 2;
  } finally {
    await chain.end();
  }
}
process.exitCode = failed ? 1 : 0;
