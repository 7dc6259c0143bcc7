/**
 * The demo as a program: `npm run demo`, or with `--short`.
 *
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { describe, discover } from "../scripts/runtimes.mjs";
import { run } from "./run.ts";
import { Screen } from "./screen.ts";

/** The demo ends by itself in much less. */
const LIMIT_MS = 120_000;
/** Exit codes by convention: 128 and the number of the signal. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

const short = readArgs();
process.exitCode = short === undefined ? 2 : await main(short);

function readArgs(): boolean | undefined {
  try {
    return parseArgs({ options: { short: { type: "boolean", default: false } } }).values.short;
  } catch (error) {
    console.error(`${(error as Error).message}\n\nUsage: npm run demo [-- --short]`);
    return undefined;
  }
}

async function main(short: boolean): Promise<number> {
  const screen = new Screen();
  const abort = new AbortController();
  let code = 1;
  for (const [signal, its] of Object.entries(SIGNALS)) {
    // Both npm and the terminal may send it, so a second one means nothing: the end is bounded anyway.
    process.on(signal, () => {
      if (abort.signal.aborted) return;
      code = its;
      abort.abort(new Error(`interrupted by ${signal}`));
    });
  }
  const limit = setTimeout(
    () => abort.abort(new Error(`not over after ${LIMIT_MS / 1000} s`)),
    LIMIT_MS,
  );
  // `npm run demo | head`: nobody reads any more, so there is nothing left to show.
  process.stdout.on("error", (error) => abort.abort(error));

  // Where no package of Node is for this platform, the one that runs this will do.
  const { present } = discover();
  const nodes = present.some(({ runtime }) => runtime === "node")
    ? []
    : [describe("node", "node", process.execPath)];
  try {
    const ok = await run({
      present: [...nodes, ...present],
      screen,
      short,
      signal: abort.signal,
    });
    return ok ? 0 : 1;
  } catch (error) {
    screen.settle();
    console.error(`\n${screen.paint("bad", "FAILED")}  ${(error as Error).message}`);
    return code;
  } finally {
    clearTimeout(limit);
  }
}
