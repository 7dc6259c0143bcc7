/**
 * The command line: run inside of a test in a recorded world, or as a process of its own.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Context } from "../../src/cli/context.ts";
import { until } from "./chain.ts";
import type { TestRuntime } from "./runtimes.ts";

/** The program's script. */
export const cliScript: string = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** A world that remembers what was said. */
export interface Recorded extends Context {
  readonly said: { out: string; err: string };
  /** Raises a signal; says whether anybody has a handler for it. */
  raise(name: string): boolean;
}

/** Makes one. */
export function recorded(
  { terminal = false, env = {} }: { terminal?: boolean; env?: Record<string, string> } = {},
): Recorded {
  const said = { out: "", err: "" };
  const handlers = new Map<string, () => void>();
  const output = (name: "out" | "err") => ({
    write: (text: string) => void (said[name] += text),
    isTerminal: terminal,
    columns: 40,
  });
  return {
    env,
    said,
    out: output("out"),
    err: output("err"),
    onSignal(name, handler) {
      handlers.set(name, handler);
      return () => handlers.delete(name);
    },
    raise(name) {
      handlers.get(name)?.();
      return handlers.has(name);
    },
  };
}

/** How a run of the program ended. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The program as a process. */
export class Cli {
  readonly child: ChildProcess;
  out = "";
  err = "";
  /** When it has ended and all that it wrote is there. */
  readonly ended: Promise<Ended>;

  constructor(
    runtime: TestRuntime,
    words: readonly string[],
    { env = {}, script = cliScript }: { env?: Record<string, string>; script?: string } = {},
  ) {
    const [file = "", ...args] = runtime.command(script, [...words]);
    this.child = spawn(file, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", ...env },
    });
    const decoder = new TextDecoder();
    this.child.stdout?.on("data", (chunk: Uint8Array) => this.out += decoder.decode(chunk));
    this.child.stderr?.on("data", (chunk: Uint8Array) => this.err += decoder.decode(chunk));
    this.ended = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once(
        "close",
        (code: number | null) => resolve({ code, out: this.out, err: this.err }),
      );
    });
  }

  /** Waits until it has written something. */
  async says(pattern: RegExp, to: "out" | "err" = "out"): Promise<void> {
    let over = false;
    void this.ended.then(() => over = true);
    await until(`it writes ${pattern}`, () => pattern.test(this[to]) || over, 30_000);
    if (!pattern.test(this[to])) {
      throw new Error(`It ended without ${pattern}: ${this.out}${this.err}`);
    }
  }

  /** Sends a signal, if it has not ended. */
  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    const { pid, exitCode, signalCode } = this.child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    try {
      // Not `child.kill`: after that Deno says that the signal has ended it, whatever it did.
      process.kill(pid, signal);
    } catch {
      // Gone meanwhile.
    }
  }
}

/** Runs the program to its end. */
export function changeover(
  runtime: TestRuntime,
  words: readonly string[],
  options: { env?: Record<string, string>; script?: string } = {},
): Promise<Ended> {
  return new Cli(runtime, words, options).ended;
}
