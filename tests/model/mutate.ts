/**
 * Breaks copies of the machine and explores them.
 *
 * @module
 */

import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Exploration, explore } from "./explore.ts";
import type { Bounds } from "./moves.ts";
import type { Mutant } from "./mutants.ts";
import type { Subject } from "./subject.ts";

const sources = fileURLToPath(new URL("../../src/", import.meta.url));
const PURE = /^(?:machine.*|protocol|frames|errors)\.ts$/;
const ROUNDS: readonly Bounds[] = [
  { processes: 2, troubles: 0, upgrades: 1, probation: false, punctual: true },
  { processes: 2, troubles: 0, upgrades: 1, probation: true, punctual: true },
  { processes: 2, troubles: 0, upgrades: 1, probation: false },
  { processes: 2, troubles: 0, upgrades: 1, probation: true },
  { processes: 2, troubles: 1, upgrades: 1, probation: false },
  { processes: 2, troubles: 1, upgrades: 1, probation: true },
  { processes: 2, troubles: 2, upgrades: 1, probation: false },
];

function roundsFor({ isSequential }: Mutant): readonly Bounds[] {
  return isSequential ? ROUNDS.map((round) => ({ ...round, mode: "sequential" })) : ROUNDS;
}

/** Whether the text that an edit replaces stands in its source exactly once. */
export function applies({ file, from }: Mutant): boolean {
  return readFileSync(join(sources, file), "utf8").split(from).length === 2;
}

/**
 * Breaks a copy and explores it, from narrow bounds to wide ones.
 *
 * @returns What was found; its story is `undefined` when the break was not.
 * @throws {Error} when the edit does not fit the source any more.
 */
export async function exploreMutant(
  mutant: Mutant,
  rounds: readonly Bounds[] = roundsFor(mutant),
): Promise<Exploration> {
  if (!applies(mutant)) {
    throw new Error(`The edit "${mutant.name}" does not fit src/${mutant.file} any more: mend it`);
  }
  const folder = mkdtempSync(join(tmpdir(), "changeover-mutant-"));
  try {
    const copy = join(folder, "src");
    mkdirSync(copy);
    for (const name of readdirSync(sources)) {
      if (PURE.test(name)) cpSync(join(sources, name), join(copy, name));
    }
    const { file, from, to } = mutant;
    const text = readFileSync(join(copy, file), "utf8");
    writeFileSync(join(copy, file), text.replace(from, () => to));
    // Node reads the syntax of a file by the nearest package.json.
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    const subject: Subject = {
      machine: await import(pathToFileURL(join(copy, "machine.ts")).href),
      protocol: await import(pathToFileURL(join(copy, "protocol.ts")).href),
    };
    let found: Exploration | undefined;
    for (const bounds of rounds) {
      found = explore(bounds, subject);
      if (found.story !== undefined) break;
    }
    return found as Exploration;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
