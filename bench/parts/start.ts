/**
 * Part `start`: a cold start and upgrades of the same program, by turns, with the time (and the CPU time, which other
 * programs on the machine do not change) of each step.
 *
 * @module
 */

import { get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { lookAt, signal } from "../measure/processes.ts";
import { rounds } from "../measure/rounds.ts";
import { median } from "../measure/statistics.ts";
import { Chain, type Variant, variants } from "../peers/changeover.ts";
import type { Said } from "../peers/program.ts";
import { type PartContext, wanted } from "./part.ts";

/** What the server says of its own start. */
interface Step {
  readonly name: string;
  /** Ms since 1970. */
  readonly at: number;
  /** User and system time so far. */
  readonly cpuMs: number;
}

/** The steps of an upgrade, in order; each ends where the next begins. */
export const STEPS = [
  "signal to start",
  "runtime",
  "import",
  "create",
  "user's init",
  "listen",
  "ready",
  "commit",
  "leave",
] as const;

/** Ms per step. */
export type Steps = Readonly<Record<typeof STEPS[number], number>>;

/** One run: a cold start and upgrades. */
export interface StartRun {
  /** From starting the first process to its first response. */
  readonly coldMs: number;
  /** From the signal until the successor owned the service; median of the run's upgrades. */
  readonly upgradeMs: number;
  /** Medians of the run's upgrades. */
  readonly steps: Steps;
  /** CPU time of a successor until it owned the service, and of a first process until it was ready. */
  readonly upgradeCpuMs: number;
  readonly coldCpuMs: number;
  /** Import of the library, and `listen` natively and adopted. */
  readonly importMs: number;
  readonly importCpuMs: number;
  readonly listenNativeMs: number;
  readonly listenAdoptedMs: number;
}

/** Measures every kind of server. */
export async function start(context: PartContext): Promise<void> {
  const upgrades = context.quick ? 1 : 3;
  await rounds({
    rows: wanted(variants(), context.rows, ({ name }) => name),
    runs: context.runs,
    untilMs: context.untilMs,
    name: ({ name }) => name,
    measure: (variant) => measure(variant, upgrades),
    log: context.log,
    keep: (all) =>
      context.keep({
        upgradesPerRun: upgrades,
        rows: all.map(({ row: { name, label }, runs, failures }) => ({
          name,
          label,
          failures,
          runs,
        })),
      }),
  });
}

async function measure(variant: Variant, upgrades: number): Promise<StartRun> {
  const chain = await Chain.start(variant);
  try {
    await firstResponse(chain.port);
    const coldMs = now() - chain.program.startedAt;
    const cold = stepsOf(chain.newest);
    const seen: { upgradeMs: number; steps: Steps; child: Said }[] = [];
    for (let upgrade = 0; upgrade < upgrades; upgrade++) {
      await sleep(50);
      seen.push(await upgradeOnce(chain));
    }
    const children = seen.map(({ child }) => stepsOf(child));
    const cpu = (steps: readonly Step[], name: string) => at(steps, name).cpuMs;
    return {
      coldMs,
      upgradeMs: median(seen.map(({ upgradeMs }) => upgradeMs)),
      steps: Object.fromEntries(
        STEPS.map((name) => [name, median(seen.map(({ steps }) => steps[name]))]),
      ) as Steps,
      upgradeCpuMs: median(children.map((steps) => cpu(steps, "owner"))),
      coldCpuMs: cpu(cold, "owner"),
      importMs: median(children.map((steps) => between(steps, "begun", "imported"))),
      importCpuMs: median(children.map((steps) => cpu(steps, "imported") - cpu(steps, "begun"))),
      listenNativeMs: between(cold, "initialised", "listening"),
      listenAdoptedMs: median(children.map((steps) => between(steps, "initialised", "listening"))),
    };
  } finally {
    await chain.stop();
  }
}

async function upgradeOnce(chain: Chain) {
  const old = chain.newest.pid;
  const from = chain.program.said.length;
  const gone = ended(old);
  const asked = now();
  await chain.flip();
  const child = chain.newest;
  const event = async (name: string) =>
    (await chain.program.heard(name, (said) => said["event"] === name && said.pid === old, from))
      .at;
  const [spawned, ready, upgraded] = [
    await event("spawned"),
    await event("child-ready"),
    await event("upgraded"),
  ];
  const goneAt = await gone;
  const steps = stepsOf(child);
  const times = [
    asked,
    // The event comes after the system call, which returns when the new program is being executed.
    Math.min(spawned, at(steps, "begun").at),
    ...["begun", "imported", "created", "initialised", "listening"].map((name) =>
      at(steps, name).at
    ),
    ready,
    upgraded,
    goneAt,
  ];
  return {
    upgradeMs: upgraded - asked,
    steps: Object.fromEntries(
      STEPS.map((name, index) => [name, times[index + 1]! - times[index]!]),
    ) as Steps,
    child,
  };
}

function stepsOf(said: Said): readonly Step[] {
  return said["steps"] as Step[];
}

function at(steps: readonly Step[], name: string): Step {
  const found = steps.find((step) => step.name === name);
  if (found === undefined) throw new Error(`The server did not say when it was "${name}"`);
  return found;
}

function between(steps: readonly Step[], from: string, to: string): number {
  return at(steps, to).at - at(steps, from).at;
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

async function ended(pid: number): Promise<number> {
  for (const end = performance.now() + 20_000;; await sleep(1)) {
    const look = lookAt(pid);
    if (look === undefined || look.ended) return now();
    if (performance.now() > end) {
      signal(pid, "SIGKILL");
      throw new Error(`The old process ${pid} does not end`);
    }
  }
}

function firstResponse(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    get({ port, host: "127.0.0.1", agent: false, timeout: 10_000 }, (response) => {
      response.resume().once("end", resolve);
    }).once("error", reject);
  });
}
