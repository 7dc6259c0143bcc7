/**
 * Scene 1: a server that takes a second to start is upgraded, while one client asks it ten times per second.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { setTimeout as sleep } from "node:timers/promises";
import { type Load, type Report, startLoad } from "../bench/load/load.ts";
import type { TestRuntime } from "../scripts/runtimes.mjs";
import type { App } from "./app.ts";
import { titleOf } from "./names.ts";
import type { Screen, Style } from "./screen.ts";

/** What a scene needs. */
export interface SceneOptions {
  readonly app: App;
  readonly screen: Screen;
  readonly signal: AbortSignal;
  /** How long a version stays before the next upgrade, in milliseconds. */
  readonly stayMs: number;
  /** To be told the load, so that it can be stopped whatever happens. */
  readonly started: (load: Load) => void;
}

/** What the client of scene 1 saw. */
export interface SceneOne {
  readonly report: Report;
  /** When the load began, in terms of `performance.now()`. */
  readonly beganMs: number;
  /** The longest time between two answers, in milliseconds. */
  readonly longestPauseMs: number;
}

/** A load ends by itself after a minute; the demo is to end first, also on a slow machine. */
export const MAX_LOAD_MS = 180_000;

const INTERVAL_MS = 100;
const PER_LINE = 10;

/** Plays the scene; the application already serves v0.0.1. */
export async function sceneOne(next: TestRuntime, options: SceneOptions): Promise<SceneOne> {
  const { app, screen, signal, stayMs, started } = options;
  const answers = new Answers(screen);
  let lastMs: number | undefined;
  let longestPauseMs = 0;
  const beganMs = performance.now();
  const load = startLoad({
    target: { port: app.serving.port },
    path: "/version",
    maxMs: MAX_LOAD_MS,
    proberMs: INTERVAL_MS, // and nobody else: a new connection every 100 ms, whatever became of the last one
    identify: (response) => {
      const nowMs = performance.now();
      longestPauseMs = Math.max(longestPauseMs, nowMs - (lastMs ?? nowMs));
      lastMs = nowMs;
      const version = Buffer.from(response.body).toString().trim();
      answers.add(version, version === "v0.0.1" ? "dim" : "good");
      return response.field("x-generation");
    },
  });
  started(load);
  let lost = 0;
  const watch = setInterval(() => {
    const now = load.snapshot().prober?.lost ?? 0;
    for (; lost < now; lost++) answers.add("LOST", "bad");
  }, INTERVAL_MS);
  try {
    await sleep(stayMs, undefined, { signal });
    const { pid } = app.serving;
    app.edit("v0.0.2");
    answers.remark(`edited VERSION on disk to "v0.0.2", sent SIGHUP to process ${pid}`);
    const { upgradeMs = 0, runtime, runtimeVersion } = await app.flip(next);
    const who = `process ${app.serving.pid} (${titleOf(runtime, runtimeVersion)})`;
    answers.remark(`${who} took over after ${Math.round(upgradeMs)} ms`);
    await sleep(stayMs, undefined, { signal });
    return { report: await load.stop(), beganMs, longestPauseMs };
  } finally {
    clearInterval(watch);
    answers.endLine();
  }
}

/** Answers in rows; they appear one by one on a terminal, row by row elsewhere. */
class Answers {
  readonly #screen: Screen;
  #row: string[] = [];

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  add(text: string, style: Style): void {
    const shown = this.#screen.paint(style, text.padEnd(6));
    if (this.#screen.live) this.#screen.write(`${this.#row.length === 0 ? "  " : ""} ${shown}`);
    this.#row.push(shown);
    if (this.#row.length === PER_LINE) this.endLine();
  }

  remark(text: string): void {
    this.endLine();
    this.#screen.line(`   ${this.#screen.paint("bold", `--- ${text}`)}`);
  }

  endLine(): void {
    if (this.#row.length === 0) return;
    this.#screen.line(this.#screen.live ? "" : `   ${this.#row.join(" ")}`);
    this.#row = [];
  }
}
