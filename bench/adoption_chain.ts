/**
 * Generations of `bench/adoption_server.ts`, one runtime throughout, upgraded by signal.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { TestRuntime } from "../scripts/runtimes.mjs";
import type { UpgradeReport } from "../mod.ts";

const script = fileURLToPath(new URL("./adoption_server.ts", import.meta.url));

/** One process that is or was ready. */
export interface Generation {
  readonly generation: number;
  readonly pid: number;
  readonly port: number;
  /** How long its `listen` took, adoption included. */
  readonly listenMs: number;
}

interface Said extends Partial<Generation> {
  readonly ready?: boolean;
  readonly upgraded?: UpgradeReport;
}

/** A first process and those that replaced it. */
export class Generations {
  readonly #first: ChildProcess;
  readonly #said: Said[] = [];
  #wake = () => {};

  constructor(runtime: TestRuntime, kind: "native" | "node" = "native") {
    const flags = runtime.runtime === "node" ? ["--no-warnings"] : [];
    const [file = "", ...args] = runtime.command(script, [], flags);
    this.#first = spawn(file, args, {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, KIND: kind },
    });
    createInterface({ input: this.#first.stdout as NonNullable<ChildProcess["stdout"]> })
      .on("line", (line) => {
        if (line.startsWith("{")) this.#said.push(JSON.parse(line));
        this.#wake();
      });
    this.#first.once("exit", () => this.#wake());
  }

  /** Waits until some process is ready. @returns The last one. */
  async newest(): Promise<Generation> {
    await this.#heard(({ ready }) => ready === true);
    return this.#said.findLast(({ ready }) => ready) as Generation;
  }

  /** Replaces the newest process, and waits until the old one has gone. */
  async upgrade(): Promise<UpgradeReport> {
    const { pid, generation } = await this.newest();
    process.kill(pid, "SIGHUP");
    const { upgraded } = await this.#heard((said) => said.upgraded?.generation === generation + 1);
    await this.#heard((said) => said.ready === true && said.generation === generation + 1);
    for (const end = performance.now() + 20_000; isThere(pid); await sleep(2)) {
      if (performance.now() > end) throw new Error(`Process ${pid} does not end`);
    }
    return upgraded as UpgradeReport;
  }

  /** Ends the newest process. */
  async end(): Promise<void> {
    for (const { pid } of this.#said) {
      if (pid !== undefined && isThere(pid)) process.kill(pid, "SIGKILL");
    }
    this.#first.kill("SIGKILL");
    while (this.#said.some(({ pid }) => pid !== undefined && isThere(pid))) await sleep(5);
  }

  async #heard(matches: (said: Said) => boolean): Promise<Said> {
    const deadline = performance.now() + 30_000;
    for (;;) {
      const found = this.#said.find(matches);
      if (found !== undefined) return found;
      if (performance.now() > deadline) throw new Error("Nobody said what was waited for in 30 s");
      await Promise.race([new Promise<void>((resolve) => this.#wake = resolve), sleep(100)]);
    }
  }
}

/** Whether a process runs; one that has ended and was not reaped yet does not. */
function isThere(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}
