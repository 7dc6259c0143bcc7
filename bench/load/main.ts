/**
 * The load client as a program: `node bench/load/main.ts --help`.
 *
 * @module
 */

import process from "node:process";
import { createInterface } from "node:readline";
import { HELP, readArgs } from "./args.ts";
import { type Load, startLoad } from "./load.ts";
import { tableOf } from "./table.ts";

const command = readArgs(process.argv.slice(2));
if (command.kind === "help") {
  process.stdout.write(HELP);
} else if (command.kind === "wrong") {
  fail(command.message);
} else {
  try {
    await run(startLoad(command.options), command);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    fail(error.message);
  }
}

async function run(load: Load, { json, stdin }: { json: boolean; stdin: boolean }): Promise<void> {
  const stop = (): void => void load.stop();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  const lines = stdin ? listen(load) : undefined;
  const report = await load.done;
  lines?.close();
  process.off("SIGINT", stop);
  process.off("SIGTERM", stop);
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : tableOf(report));
  const lost = report.lost + (report.prober?.lost ?? 0);
  process.exitCode = lost === 0 && report.consistent ? 0 : 1;
}

// For a program that drives upgrades and wants this client in a process of its own.
function listen(load: Load): { close(): void } {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const [verb, label] = line.trim().split(/\s+(.*)/s);
    if (verb === "mark" && label !== undefined) load.mark(label);
    else if (verb === "snapshot") process.stdout.write(`${JSON.stringify(load.snapshot())}\n`);
    else if (verb === "stop") void load.stop();
    else if (verb !== "") process.stderr.write(`unknown command: "${line}"\n`);
  });
  lines.on("close", () => process.stdin.destroy());
  return lines;
}

function fail(message: string): void {
  process.stderr.write(`${message}\n`);
  process.exitCode = 2;
}
