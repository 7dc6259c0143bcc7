/**
 * Scene 2: many clients, and a server that becomes another version on another runtime every few seconds.
 *
 * @module
 */

import { setTimeout as sleep } from "node:timers/promises";
import { type Report, startLoad } from "../bench/load/load.ts";
import type { TestRuntime } from "../scripts/runtimes.mjs";
import type { Generation } from "./app.ts";
import { grouped, titleOf, whoIs } from "./names.ts";
import { Rates } from "./rates.ts";
import { MAX_LOAD_MS, type SceneOptions } from "./scene_one.ts";
import type { Style } from "./screen.ts";

/** The clients; each asks again `thinkMs` after its answer. */
export const CLIENTS = { keepAlive: 16, oneShot: 4, post: 4, thinkMs: 10 } as const;

/** What the clients of scene 2 saw. */
export interface SceneTwo {
  readonly report: Report;
  /** When the load began, in terms of `performance.now()`. */
  readonly beganMs: number;
}

/** What is coming up while an upgrade is under way. */
interface Coming {
  readonly version: string;
  readonly runtime: TestRuntime;
}

const REFRESH_MS = 200;
const LINE_MS = 1000;
const BAR = 24;

/** Plays the scene: one upgrade for each of `flips`. */
export async function sceneTwo(
  flips: readonly TestRuntime[],
  options: SceneOptions,
): Promise<SceneTwo> {
  const { app, screen, signal, stayMs, started } = options;
  const beganMs = performance.now();
  const target = { port: app.serving.port };
  const load = startLoad({ target, proberMs: 0, maxMs: MAX_LOAD_MS, ...CLIENTS });
  started(load);
  const first = app.generations.length - 1;
  const rates = new Rates(screen.live ? LINE_MS : LINE_MS / 2);
  rates.add(beganMs, new Map());
  let coming: Coming | undefined;

  const show = (): void => {
    const report = load.snapshot();
    const counts = new Map(report.identities.map(({ identity, answers }) => [identity, answers]));
    const perSecond = rates.add(performance.now(), counts);
    const seconds = `${((performance.now() - beganMs) / 1000).toFixed(1)} s`;
    const sum = [...perSecond.values()].reduce((total, rate) => total + rate, 0);
    const totals = [
      `${grouped(sum)} requests/s`.padStart(18),
      `${grouped(report.answered)} answered`.padStart(17),
      screen.paint(report.lost === 0 ? "good" : "bad", `${grouped(report.lost)} lost`.padStart(8)),
    ].join("  ");
    if (!screen.live) {
      const who = app.generations.filter(({ number }) => (perSecond.get(`${number}`) ?? 0) > 0)
        .map(({ version, runtime }) => `${version} ${runtime}`).join(", ");
      return screen.line(`  ${seconds.padStart(7)}${totals}   ${who}`);
    }
    const rows = app.generations.slice(first).map((generation) =>
      row(generation, perSecond.get(`${generation.number}`) ?? 0, sum)
    );
    if (coming !== undefined) {
      const { version, runtime: { runtime } } = coming;
      const name = screen.paint(runtime as Style, titleOf(runtime).padEnd(14));
      rows.push(`  ${version.padEnd(8)} ${name} ${screen.paint("dim", "starting ...")}`);
    }
    screen.draw([...rows, "", `  ${seconds.padStart(7)}${totals}`]);
  };

  const row = (generation: Generation, rate: number, sum: number): string => {
    const { version, runtime, runtimeVersion, upgradeMs } = generation;
    const name = titleOf(runtime, runtimeVersion).padEnd(14);
    const length = rate > 0 ? Math.max(1, Math.round(BAR * rate / sum)) : 0;
    const bar = "█".repeat(length).padEnd(BAR);
    const took = upgradeMs === undefined ? "" : `took over after ${grouped(upgradeMs)} ms`;
    if (app.hasDrained(generation)) {
      return screen.paint("dim", `  ${version.padEnd(8)} ${name} ${" ".repeat(BAR)} gone`);
    }
    const style = runtime as Style;
    return `  ${version.padEnd(8)} ${screen.paint(style, name)} ${screen.paint(style, bar)} ` +
      screen.paint("dim", took);
  };

  const timer = setInterval(show, screen.live ? REFRESH_MS : LINE_MS);
  try {
    for (const runtime of flips) {
      await sleep(stayMs, undefined, { signal });
      const version = `v0.0.${app.serving.number + 1}`;
      coming = { version, runtime };
      const { pid, runtime: was } = app.serving;
      if (!screen.live) {
        screen.line(`  --- VERSION is "${version}", SIGHUP to process ${pid} (${titleOf(was)})`);
      }
      app.edit(version);
      const generation = await app.flip(runtime);
      coming = undefined;
      if (!screen.live) {
        const tookMs = grouped(generation.upgradeMs ?? 0);
        screen.line(`  --- ${whoIs(generation)} took over after ${tookMs} ms`);
      }
    }
    await sleep(stayMs, undefined, { signal });
    const report = await load.stop();
    show();
    return { report, beganMs };
  } finally {
    clearInterval(timer);
    screen.settle();
  }
}
