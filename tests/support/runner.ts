/**
 * Starts `changeover run` around a service and watches both.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isRunning, type Said, type Target, until } from "./chain.ts";
import { current, runtimes, type TestRuntime } from "./runtimes.ts";

const cli = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** The service of `tests/fixtures/run.ts`. */
export const serviceScript: string = fileURLToPath(new URL("../fixtures/run.ts", import.meta.url));

/** The runtime that starts fastest, for services of which many are started. */
export const fastRuntime: TestRuntime = runtimes.find(({ runtime }) => runtime === "bun") ??
  current();

/** How long a busy machine may take for anything. */
const PATIENCE_MS = 30_000;

/** What a test starts. */
export interface RunnerOptions {
  /** Options of `changeover run`. */
  readonly options?: readonly string[];
  /** What is run; default: the service on {@linkcode fastRuntime}. */
  readonly command?: readonly string[];
  /** What runs the runner, in front of its command line. */
  readonly before?: readonly string[];
  /** Makes one word of the runner's command line, for `script -c`. */
  readonly around?: (command: readonly string[]) => readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** The command line of the fixture. */
export function service(runtime: TestRuntime = fastRuntime): readonly string[] {
  return runtime.command(serviceScript);
}

/** A `changeover run`. */
export class Runner {
  readonly said: Said[] = [];
  readonly child: ChildProcess;
  /** Everything that was written and is no event. */
  text = "";
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;

  constructor(options: RunnerOptions = {}) {
    const line = [
      ...options.before ?? [],
      ...current().command(cli, [
        "run",
        ...options.options ?? [],
        "--",
        ...options.command ?? service(),
      ]),
    ];
    const [file = "", ...args] = options.around?.(line) ?? line;
    this.child = spawn(file, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", ...options.env },
    });
    let pending = "";
    this.child.stdout?.on("data", (chunk: Uint8Array) => {
      const lines = (pending + new TextDecoder().decode(chunk)).split("\n");
      pending = lines.pop() ?? "";
      for (const text of lines) {
        const json = text.slice(text.indexOf("{")).trim();
        if (text.includes("{")) this.said.push(JSON.parse(json));
        else this.text += text + "\n";
      }
    });
    this.child.stderr?.on(
      "data",
      (chunk: Uint8Array) => this.text += new TextDecoder().decode(chunk),
    );
    this.child.stdin?.on("error", () => {}); // it may end first
    this.ended = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once("close", (code, signal) => resolve(code ?? signal ?? "?"));
    });
    this.ended.catch(() => {});
  }

  /** The runner's number. */
  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Waits for the `count`-th line of that kind. */
  async event(event: string, count = 1): Promise<Said> {
    const find = () => this.said.filter((said) => said.event === event)[count - 1];
    try {
      await until(`"${event}" was said ${count} times`, () => find() !== undefined, PATIENCE_MS);
    } catch (error) {
      throw new Error(
        `${(error as Error).message}; said: ${JSON.stringify(this.said)}; ${this.text}`,
      );
    }
    return find() as Said;
  }

  /** All lines of a kind. */
  all(event: string): readonly Said[] {
    return this.said.filter((said) => said.event === event);
  }

  /** Where the service listens. */
  get target(): Target {
    const { addresses } = this.said.find(({ event }) => event === "ready") as Said;
    const { port, hostname } = (addresses as { port: number; hostname: string }[])[0]!;
    return { port, host: hostname };
  }

  /** The exit code; rejects when it does not end. */
  async exitCode(): Promise<number | string> {
    let over: number | string | undefined;
    void this.ended.then((how) => over = how);
    await until("the runner has ended", () => over !== undefined, PATIENCE_MS).catch((error) => {
      throw new Error(`${error.message}; said: ${JSON.stringify(this.said)}; ${this.text}`);
    });
    return over as number | string;
  }

  /** Kills what is left; with `before` only the outermost process, which takes the others with it. */
  async end(own = true): Promise<void> {
    const pids = own ? [...new Set(this.said.map(({ pid }) => pid))] : [];
    for (const pid of [this.pid, ...pids].filter((pid) => pid > 1 && isRunning(pid))) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Gone meanwhile.
      }
    }
    this.child.stdin?.destroy();
    await this.ended.catch(() => {});
  }
}

/** Children of a process, with their state as in proc(5). */
export function childrenOf(
  pid: number,
): readonly { readonly pid: number; readonly state: string }[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [state = "", ppid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(ppid) === pid ? [{ pid: Number(name), state }] : [];
    } catch {
      return []; // gone meanwhile
    }
  });
}
