/**
 * A client process that is told what to do in lines, and answers in lines.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { clearTimeout, setTimeout } from "node:timers";
import { fileURLToPath } from "node:url";

/** One of the scripts of this folder, as a process. */
export class LineClient {
  readonly #process: ChildProcess;
  readonly #lines: unknown[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(script: string, args: readonly string[] = []) {
    const path = fileURLToPath(new URL(script, import.meta.url));
    this.#process = spawn(process.execPath, ["--no-warnings", path, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    createInterface({ input: this.#process.stdout! }).on("line", (line) => {
      this.#lines.push(JSON.parse(line));
      this.#wake?.();
    }).on("close", () => {
      this.#ended = true;
      this.#wake?.();
    });
    this.#process.stdin!.on("error", () => {});
  }

  /** Writes a line. */
  tell(what: unknown): void {
    this.#process.stdin!.write(`${JSON.stringify(what)}\n`);
  }

  /** The next line; `undefined` when none comes in time. */
  async next(limitMs: number): Promise<unknown> {
    if (this.#lines.length === 0 && !this.#ended) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, limitMs);
      });
      clearTimeout(timer);
      this.#wake = undefined;
    }
    return this.#lines.shift();
  }

  /** Ends the process. */
  end(): void {
    this.#process.kill("SIGKILL");
  }
}
