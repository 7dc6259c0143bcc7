/**
 * A process that tells in JSON lines what it does.
 *
 * @module
 */

import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { owesSession } from "../measure/cleanup.ts";
import { endSessions } from "../measure/processes.ts";

const WAIT_LIMIT_MS = 30_000;
const STDERR_LINES = 5;

/** A line of a server of `bench/servers`. */
export interface Said {
  readonly pid: number;
  /** Ms since 1970. */
  readonly at: number;
  readonly [key: string]: unknown;
}

/** How to start one. */
export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Passed as descriptor 3. */
  readonly fd?: number;
}

/** The path of a server of `bench/servers`. */
export function serverPath(name: string): string {
  return fileURLToPath(new URL(`../servers/${name}`, import.meta.url));
}

/** A process in a session of its own, and its successors. */
export class Program {
  readonly process: ChildProcess;
  readonly said: Said[] = [];
  /** When it was started, ms since 1970. */
  readonly startedAt: number;
  readonly #errors: string[] = [];
  #wake = () => {};
  #ended = false;

  constructor([file = "", ...args]: readonly string[], { env = {}, fd }: ProgramOptions = {}) {
    const stdio: StdioOptions = ["ignore", "pipe", "pipe"];
    if (fd !== undefined) stdio.push(fd);
    this.startedAt = performance.timeOrigin + performance.now();
    this.process = spawn(file, args, { stdio, detached: true, env: environment(env) });
    if (this.process.pid !== undefined) owesSession(this.process.pid);
    createInterface({ input: this.process.stdout! }).on("line", (line) => {
      if (line.startsWith("{")) this.said.push(JSON.parse(line) as Said);
      this.#wake();
    });
    createInterface({ input: this.process.stderr! }).on("line", (line) => {
      this.#errors.push(line);
      if (this.#errors.length > STDERR_LINES) this.#errors.shift();
    });
    const ended = () => {
      this.#ended = true;
      this.#wake();
    };
    this.process.once("error", ended);
    this.process.once("exit", ended);
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /** The session of this process and of all that come from it. */
  get sessions(): ReadonlySet<number> {
    return new Set([this.pid]);
  }

  /** What it has said that matches, as soon as it has. `from` skips lines. */
  async heard(what: string, matches: (said: Said) => boolean, from = 0): Promise<Said> {
    const deadline = performance.now() + WAIT_LIMIT_MS;
    for (;;) {
      const found = this.said.slice(from).find(matches);
      if (found !== undefined) return found;
      const failed = this.said.find(({ failed }) => failed !== undefined);
      const errors = this.#errors.join("\n");
      if (failed !== undefined) throw new Error(`${failed["failed"]}\n${errors}`);
      if (this.#ended && this.said.length === 0) {
        throw new Error(`The server has ended: ${errors || "without a word"}`);
      }
      if (performance.now() > deadline) {
        throw new Error(`No "${what}" within ${WAIT_LIMIT_MS / 1000} s: ${errors}`);
      }
      await Promise.race([new Promise<void>((resolve) => this.#wake = resolve), sleep(250)]);
    }
  }

  /** Ends it and all that came from it. */
  async end(): Promise<void> {
    await endSessions(this.sessions);
    this.process.stdout?.destroy();
    this.process.stderr?.destroy();
  }
}

/** What would change how a server starts; NODE_EXTRA_CA_CERTS for one makes Node read certificates. */
const LEFT_OUT = [
  "CHANGEOVER",
  "FORCE_COLOR",
  "NODE_COMPILE_CACHE",
  "NODE_EXTRA_CA_CERTS",
  "NODE_OPTIONS",
  "NODE_TEST_CONTEXT",
];

/** The environment of every server of the benchmark. */
export function environment(env: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const rest = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !LEFT_OUT.includes(name)),
  );
  return { ...rest, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...env };
}
