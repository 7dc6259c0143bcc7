/**
 * A chain of servers (`server.ts`) that is upgraded, made to fail and stopped, and what they say.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { TestRuntime } from "../../scripts/runtimes.mjs";

/** One line that a generation has printed. */
export interface Said {
  readonly event: "ready" | "upgraded" | "failed" | "late" | "left";
  readonly pid: number;
  readonly generation: number;
  readonly port?: number;
  readonly native?: number;
  readonly code?: string;
  readonly cut?: number;
}

// Longer than `upgradeTimeoutMs`, which on a busy machine is needed.
const STEP_MS = 120_000;

/** One service, whoever serves it. */
export class Service {
  /** Of the server. */
  readonly script: string = fileURLToPath(new URL("./server.ts", import.meta.url));
  readonly pidFile: string;
  /** Process id of the owner. */
  pid = 0;
  generation = 0;
  port = 0;
  /** Port of the runtime's own server. */
  native = 0;
  /** The last lines that were said, for the story of a failure. */
  readonly story: string[] = [];
  readonly #runtime: TestRuntime;
  readonly #next: string;
  readonly #options: object;
  readonly #pids = new Set<number>();
  #said: Said[] = [];
  #first: ChildProcess | undefined;

  constructor(runtime: TestRuntime, folder: string, options: object = {}) {
    this.#runtime = runtime;
    this.#options = { pidFile: join(folder, "app.pid"), ...options };
    this.pidFile = join(folder, "app.pid");
    this.#next = join(folder, "next.json");
    writeFileSync(this.#next, "[]");
  }

  /** Starts the first generation. */
  async start(): Promise<void> {
    const [file = "", ...args] = this.#runtime.command(this.script);
    this.#first = spawn(file, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NEXT: this.#next, OPTIONS: JSON.stringify(this.#options) },
    });
    for (const stream of [this.#first.stdout!, this.#first.stderr!]) {
      createInterface({ input: stream }).on("line", (line) => this.#hear(line));
    }
    this.#own(await this.#heard(["ready"]));
  }

  /** Replaces the owner by what `command` starts. */
  async upgrade(command: readonly string[]): Promise<void> {
    await this.#ask(command);
    const generation = this.generation + 1;
    const ready = await this.#heard(["ready"], ({ generation: its }) => its === generation);
    await this.#heard(["upgraded"]);
    this.#own(ready);
  }

  /** Lets an upgrade fail. @returns The code of the error; `late` when the child could not fail any more. */
  async fail(command: readonly string[]): Promise<string> {
    await this.#ask(command);
    const said = await this.#heard(["failed", "late"]);
    if (said.event === "failed") return said.code ?? "";
    this.#own(await this.#heard(["ready"], ({ pid }) => pid === said.pid));
    return "late";
  }

  /** Stops the owner, and waits until it has left. */
  async stop(): Promise<void> {
    const { pid } = this;
    process.kill(pid, "SIGTERM");
    await this.#heard(["left"], (said) => said.pid === pid);
    await until("the owner is gone", () => !isRunning(pid));
  }

  /** Ends whatever is left. */
  async end(): Promise<void> {
    const left = [...this.#pids].filter(isRunning);
    for (const pid of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Gone meanwhile.
      }
    }
    await until("all are gone", () => left.every((pid) => !isRunning(pid)));
    this.#first?.stdout?.destroy();
    this.#first?.stderr?.destroy();
  }

  /** How many connections were cut by those that have left. */
  cut = 0;

  /** The processes of this service that run. */
  running(): number[] {
    return [...this.#pids].filter(isRunning);
  }

  /** What the owner holds. */
  self(): Promise<{ listeners: number; resources: number; heap: number }> {
    return this.#tell("/self");
  }

  // deno-lint-ignore no-explicit-any -- whatever the path tells
  #tell(path: string): Promise<any> {
    return new Promise((resolve, reject) => {
      const sent = request(
        { host: "127.0.0.1", port: this.port, path, agent: false },
        (response) => {
          let text = "";
          response.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
          response.on("end", () => resolve(JSON.parse(text)));
        },
      );
      sent.on("error", reject);
      sent.end();
    });
  }

  /** Whom the PID file names. */
  named(): number {
    return Number(readFileSync(this.pidFile, "utf8"));
  }

  /** A signal is refused while a child that has failed is still being ended. */
  async #ask(command: readonly string[]): Promise<void> {
    const deadline = performance.now() + STEP_MS;
    let { state } = await this.#tell("/state");
    while (state !== "serving") {
      if (performance.now() > deadline) throw new Error(`Process ${this.pid} stays ${state}`);
      await sleep(20);
      ({ state } = await this.#tell("/state"));
    }
    writeFileSync(this.#next, JSON.stringify(command));
    this.#said = [];
    process.kill(this.pid, "SIGHUP");
  }

  #own({ pid, generation, port, native }: Said): void {
    Object.assign(this, { pid, generation, port, native });
  }

  #hear(line: string): void {
    this.story.push(line);
    if (this.story.length > 200) this.story.shift();
    if (!line.startsWith("{")) return;
    const said = JSON.parse(line) as Said;
    this.#pids.add(said.pid);
    this.cut += said.cut ?? 0;
    this.#said.push(said);
  }

  async #heard(
    events: readonly Said["event"][],
    matches: (said: Said) => boolean = () => true,
  ): Promise<Said> {
    let found: Said | undefined;
    await until(`somebody says "${events.join('" or "')}"`, () => {
      found = this.#said.find((said) => events.includes(said.event) && matches(said));
      return found !== undefined;
    });
    return found!;
  }
}

/** Waits until something holds. @throws {Error} after two minutes. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + STEP_MS;
  while (!holds()) {
    if (performance.now() > deadline) {
      throw new Error(`Waited ${STEP_MS / 1000} s in vain until ${what}`);
    }
    await sleep(5);
  }
}

/** Whether a process exists and has not ended. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}
