/**
 * What a process has at a moment, and whether it grew.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Service } from "./service.ts";

/** What the newest process has. */
export interface Look {
  readonly descriptors: number;
  readonly children: number;
  /** In the folder of PID file, Unix socket and control socket. */
  readonly files: number;
  /** Listeners of signals and of the process itself, and what keeps its event loop alive, as it tells. */
  readonly listeners: number;
  readonly resources: number;
  /** In MiB: the heap, after a collection of garbage. */
  readonly heap: number;
  /** In MiB: what the process has of the machine's memory, heap and everything else, collected or not. */
  readonly resident: number;
}

const LOOKS = 10;
const PAUSE_MS = 50;
/** In MiB: what runs often is compiled, into the heap. */
const HEAP_MAY_GROW = 1.5;
/** In times: collectors give little back. */
const RESIDENT_MAY_GROW = 2;

/** The fewest of some looks: connections and children come and go. */
export async function look(service: Service, folder: string): Promise<Look> {
  const looks: Look[] = [];
  for (let i = 0; i < LOOKS; i++) {
    const { listeners, resources, heap } = await service.self();
    looks.push({ listeners, resources, heap: heap / 2 ** 20, ...outside(service.pid, folder) });
    await sleep(PAUSE_MS);
  }
  const fewest = (key: keyof Look) => Math.min(...looks.map((one) => one[key]));
  return {
    descriptors: fewest("descriptors"),
    children: fewest("children"),
    files: fewest("files"),
    listeners: fewest("listeners"),
    resources: fewest("resources"),
    heap: Math.round(fewest("heap") * 100) / 100,
    resident: Math.round(fewest("resident") * 10) / 10,
  };
}

function outside(pid: number, folder: string): Omit<Look, "listeners" | "resources" | "heap"> {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const children = tasks.flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean)
  );
  const [, kilobytes] = /^RssAnon:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ??
    [];
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    children: children.length,
    files: readdirSync(folder).length,
    resident: Number(kilobytes) / 1024,
  };
}

/** What grew, one sentence each. */
export function growth(what: string, looks: readonly Look[]): string[] {
  const problems: string[] = [];
  const half = looks.slice(looks.length >> 1);
  for (const key of ["descriptors", "children", "files", "listeners", "resources"] as const) {
    const early = Math.max(...looks.slice(0, looks.length >> 1).map((one) => one[key]));
    const late = Math.min(...half.map((one) => one[key]));
    if (late > early) problems.push(`${what}: ${key} grew from ${early} to ${late}`);
  }
  const quarter = Math.max(1, looks.length >> 2);
  const grew = (key: "heap" | "resident", most: (early: number) => number) => {
    const early = median(looks.slice(quarter, 2 * quarter).map((one) => one[key]));
    const late = median(looks.slice(-quarter).map((one) => one[key]));
    if (late > most(early)) problems.push(`${what}: ${key} grew from ${early} to ${late} MiB`);
  };
  grew("heap", (early) => early + HEAP_MAY_GROW);
  grew("resident", (early) => early * RESIDENT_MAY_GROW);
  return problems;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? NaN;
}
