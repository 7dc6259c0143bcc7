/**
 * The application that the demo upgrades: a copy of `server.ts` in a temporary folder, and its generations.
 *
 * @module
 */

import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { TestRuntime } from "../scripts/runtimes.mjs";
import { Processes, type Said } from "./processes.ts";

/** One process that has served. */
export interface Generation {
  readonly number: number;
  readonly pid: number;
  /** The version in the file when it was started. */
  readonly version: string;
  /** `"node"`, `"deno"` or `"bun"`. */
  readonly runtime: string;
  readonly runtimeVersion: string;
  readonly port: number;
  /** From the signal until it was the owner, as its parent reported; `undefined` for the first. */
  readonly upgradeMs: number | undefined;
  /** When the demo heard of that, in terms of `performance.now()`. */
  readonly heardMs: number;
}

/** Exactly one line of the program. */
const VERSION_LINE = /^const VERSION = "([^"]*)";$/m;

/** The application: a folder and processes. */
export class App {
  /** Every generation that has served, the oldest first. */
  readonly generations: Generation[] = [];
  readonly #signal: AbortSignal;
  readonly #folder: string;
  readonly #script: string;
  #processes: Processes | undefined;

  /** @param signal Gives up every wait. */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
    this.#folder = mkdtempSync(join(tmpdir(), "changeover-demo-"));
    this.#script = join(this.#folder, "app", "server.ts");
    mkdirSync(join(this.#folder, "app"));
    copyFileSync(fileURLToPath(new URL("server.ts", import.meta.url)), this.#script);
    writeFileSync(join(this.#folder, "package.json"), '{ "type": "module" }\n');
    // So that "../mod.ts" is there. Deno resolves imports from a link's own place, hence "src".
    for (const name of ["mod.ts", "src"]) {
      symlinkSync(fileURLToPath(new URL(`../${name}`, import.meta.url)), join(this.#folder, name));
    }
  }

  /** The generation that serves. */
  get serving(): Generation {
    return this.generations.at(-1)!;
  }

  /** What the processes wrote to stderr. */
  get errors(): string {
    return this.#processes?.errors ?? "";
  }

  /** Whether a generation has let all its connections finish. */
  hasDrained({ pid }: Generation): boolean {
    return this.#processes?.hasDrained(pid) ?? false;
  }

  /** Starts the first generation. */
  async start(runtime: TestRuntime): Promise<Generation> {
    this.#processes = new Processes(runtime.command(this.#script), this.#signal);
    return await this.#served("the server is ready", (said) => said.event === "ready");
  }

  /** Edits the version in the file on disk, as a deployment would. */
  edit(version: string): void {
    const source = readFileSync(this.#script, "utf8");
    writeFileSync(this.#script, source.replace(VERSION_LINE, `const VERSION = "${version}";`));
    if (VERSION_LINE.exec(readFileSync(this.#script, "utf8"))?.[1] !== version) {
      throw new Error(
        `Cannot edit the version in the copy of demo/server.ts: no line "const VERSION"`,
      );
    }
  }

  /** Sends SIGHUP to the generation that serves; resolves when its successor does. */
  async flip(runtime: TestRuntime): Promise<Generation> {
    const { pid } = this.serving;
    const command = JSON.stringify(runtime.command(this.#script));
    writeFileSync(join(this.#folder, "app", "next.json"), command);
    try {
      process.kill(pid, "SIGHUP");
    } catch (cause) {
      throw new Error(`Process ${pid}, which served, is gone`, { cause });
    }
    const outcome = await this.#processes!.said(
      "the upgrade is over",
      (said) => said.pid === pid && said.event.startsWith("upgrade"),
    );
    const heardMs = performance.now();
    const { report, message } = outcome;
    if (report === undefined) throw new Error(message);
    return await this.#served(
      "the successor is ready",
      (said) => said.pid === report.pid && said.event === "ready",
      { upgradeMs: report.durationMs, heardMs },
    );
  }

  /**
   * Ends every process and removes the folder.
   *
   * @returns What is wrong: who had to be killed, who is still there.
   */
  async end(): Promise<readonly string[]> {
    try {
      return await this.#processes?.end() ?? [];
    } finally {
      rmSync(this.#folder, { recursive: true, force: true });
    }
  }

  async #served(
    what: string,
    matches: (said: Said) => boolean,
    upgrade?: { readonly upgradeMs: number; readonly heardMs: number },
  ): Promise<Generation> {
    const { pid, version, status } = await this.#processes!.said(what, matches);
    const generation: Generation = {
      number: status!.generation,
      pid,
      version,
      runtime: status!.runtime,
      runtimeVersion: status!.version,
      port: status!.sockets[0]!.port!,
      upgradeMs: upgrade?.upgradeMs,
      heardMs: upgrade?.heardMs ?? performance.now(),
    };
    this.generations.push(generation);
    return generation;
  }
}
