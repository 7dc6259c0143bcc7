/**
 * The processes of the demo's server: a first one that is started here, and all that follow from it.
 *
 * Every generation inherits the standard output and error of the first, so the pipes say what each of them says, and
 * that all of them are gone.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

/** A line that a generation printed. */
export interface Said {
  readonly event: "starting" | "ready" | "upgraded" | "upgrade-failed" | "drained";
  readonly pid: number;
  readonly version: string;
  /** With `ready`. */
  readonly status?: {
    readonly generation: number;
    readonly runtime: string;
    readonly version: string;
    readonly sockets: readonly { readonly port?: number }[];
  };
  /** With `upgraded`. */
  readonly report?: { readonly pid: number; readonly durationMs: number };
  /** With `upgrade-failed`. */
  readonly message?: string;
}

interface Waiting {
  readonly look: () => void;
  readonly fail: (error: Error) => void;
}

const WAIT_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 4_000;
const KEPT_ERRORS = 4_000;

/** A first process and its successors. */
export class Processes {
  /** What they wrote to stderr, and to stdout besides their lines: the last few thousand characters. */
  errors = "";
  readonly #signal: AbortSignal;
  readonly #first: ChildProcess;
  readonly #closed: Promise<true>;
  readonly #said: Said[] = [];
  readonly #waiting = new Set<Waiting>();
  readonly #pids = new Set<number>();
  #ending: NodeJS.Signals | undefined;

  /**
   * Starts the first.
   *
   * @param command Executable and arguments.
   * @param signal Gives up every wait.
   */
  constructor([file = "", ...args]: readonly string[], signal: AbortSignal) {
    const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
    delete env["FORCE_COLOR"];
    delete env["CHANGEOVER"];
    this.#signal = signal;
    const first = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], env });
    this.#first = first;
    if (first.pid !== undefined) this.#pids.add(first.pid);
    this.#closed = new Promise((resolve) => first.once("close", () => resolve(true)));
    first.once("error", (error) => this.#fail(error));
    void this.#closed.then(() => this.#fail(new Error("Every process of the server has ended")));
    let pending = "";
    first.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (pending + text).split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) this.#hear(line);
    });
    first.stderr?.setEncoding("utf8").on("data", (text: string) => this.#keep(text));
  }

  /** Process ids of all that have said something. */
  get pids(): readonly number[] {
    return [...this.#pids];
  }

  /** Whether a process has said that it had nothing left to do. */
  hasDrained(pid: number): boolean {
    return this.#said.some((said) => said.pid === pid && said.event === "drained");
  }

  /** Resolves with the first line, said already or to come, that matches. */
  async said(what: string, matches: (said: Said) => boolean): Promise<Said> {
    this.#signal.throwIfAborted();
    return await new Promise((resolve, reject) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#signal.removeEventListener("abort", abort);
        this.#waiting.delete(waiting);
      };
      const fail = (error: Error): void => {
        finish();
        reject(error);
      };
      const look = (): void => {
        const found = this.#said.find(matches);
        if (found === undefined) return;
        finish();
        resolve(found);
      };
      const abort = (): void => fail(this.#signal.reason);
      const timer = setTimeout(
        () => fail(new Error(`Waited ${WAIT_LIMIT_MS / 1000} s in vain until ${what}`)),
        WAIT_LIMIT_MS,
      );
      const waiting = { look, fail };
      this.#signal.addEventListener("abort", abort);
      this.#waiting.add(waiting);
      look();
    });
  }

  /**
   * Ends all of them, with SIGTERM and then with SIGKILL.
   *
   * @returns What is wrong: who had to be killed, who is still there.
   */
  async end(): Promise<readonly string[]> {
    const problems: string[] = [];
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      this.#ending = signal;
      const living = this.pids.filter(isRunning);
      if (signal === "SIGKILL") problems.push(`had to be killed: ${living.join(", ")}`);
      for (const pid of living) send(pid, signal);
      // Its "close" waits for the pipes, which every process holds that has not said a word yet.
      if (await Promise.race([this.#closed, sleep(STOP_LIMIT_MS, false, { ref: false })])) break;
    }
    // A pipe is closed a moment before its process has ended.
    const deadline = performance.now() + STOP_LIMIT_MS;
    while (this.pids.some(isRunning) && performance.now() < deadline) await sleep(10);
    const left = this.pids.filter(isRunning);
    if (left.length > 0) problems.push(`still running: ${left.join(", ")}`);
    this.#first.stdout?.destroy();
    this.#first.stderr?.destroy();
    return problems;
  }

  #hear(line: string): void {
    let said: Said;
    try {
      said = JSON.parse(line);
    } catch {
      return this.#keep(`${line}\n`);
    }
    this.#pids.add(said.pid);
    this.#said.push(said);
    // Started by an upgrade that was under way when the end began.
    if (said.event === "starting" && this.#ending !== undefined) send(said.pid, "SIGKILL");
    for (const { look } of [...this.#waiting]) look();
  }

  #keep(text: string): void {
    this.errors = (this.errors + text).slice(-KEPT_ERRORS);
  }

  #fail(error: Error): void {
    for (const { fail } of [...this.#waiting]) fail(error);
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone meanwhile.
  }
}

// An orphan that has ended stays as a zombie where process 1 does not reap, so signal 0 alone proves nothing.
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== "linux") return true;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}
