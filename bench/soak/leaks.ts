// Upgrades in a row, and failed upgrades of one process: whether descriptors, child processes, files, timers and
// listeners stay as they are, and memory within bounds.
//
//   npm run soak:leaks -- --upgrades 1000 --runtime deno
//
// Writes its entry of bench/results/leaks.json, and exits non-zero when something grew.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { discover } from "../../scripts/runtimes.mjs";
import { growth, type Look, look } from "./growth.ts";
import { Service } from "./service.ts";

const { values } = parseArgs({
  options: {
    upgrades: { type: "string", default: "1000" },
    runtime: { type: "string", default: "node26" },
  },
});
const upgrades = Number(values.upgrades);
if (!Number.isInteger(upgrades) || upgrades < 20) {
  throw new RangeError(
    `--upgrades is "${values.upgrades}", expected a whole number of at least 20`,
  );
}
const runtime = discover().present.find(({ name }) => name === values.runtime);
if (runtime === undefined) throw new RangeError(`There is no runtime "${values.runtime}"`);

const folder = mkdtempSync(join(tmpdir(), "changeover-leaks-"));
const service = new Service(runtime, folder);
const every = Math.floor(upgrades / 20);

/** Does something `upgrades` times; twenty times in between, looks at the newest process. */
async function row(what: string, step: () => Promise<unknown>): Promise<Look[]> {
  const looks: Look[] = [];
  for (let n = 1; n <= upgrades; n++) {
    await step();
    if (n % every !== 0) continue;
    looks.push(await look(service, folder));
    console.error(`${what} ${n}: ${JSON.stringify(looks.at(-1))}`);
  }
  return looks;
}

try {
  await service.start();
  const upgraded = await row("upgrades", () => service.upgrade(runtime.command(service.script)));
  const failed = await row("failed upgrades", () => service.fail(["/bin/false"]));
  const problems = [...growth("upgrades", upgraded), ...growth("failed upgrades", failed)];
  await service.stop();
  const path = fileURLToPath(new URL("../results/leaks.json", import.meta.url));
  writeFileSync(
    path,
    JSON.stringify(
      {
        ...read(path),
        [runtime.name]: {
          command: `npm run soak:leaks -- ${process.argv.slice(2).join(" ")}`.trim(),
          date: new Date().toISOString(),
          upgrades,
          problems,
          upgraded: { first: upgraded[0], last: upgraded.at(-1) },
          failed: { first: failed[0], last: failed.at(-1) },
        },
      },
      null,
      2,
    ) + "\n",
  );
  console.log(
    `${runtime.name}, ${upgrades} upgrades and ${upgrades} failed ones: ${
      problems.length === 0 ? "nothing grew" : problems.join("; ")
    }`,
  );
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  await service.end();
  rmSync(folder, { recursive: true, force: true });
}

function read(path: string): object {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return {};
  }
}
