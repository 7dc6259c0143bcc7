/**
 * Starts `tests/fixtures/server.ts` and watches all generations that follow from it.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import net from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { ServerConfig } from "../fixtures/server.ts";
import type { TestRuntime } from "./runtimes.ts";

/** The fixture's script. */
export const serverScript: string = fileURLToPath(
  new URL("../fixtures/server.ts", import.meta.url),
);

/** One line that a generation printed. */
export interface Said {
  readonly event: string;
  readonly pid: number;
  readonly generation?: number;
  // deno-lint-ignore no-explicit-any -- what each event carries is checked by the test that waits for it
  readonly [key: string]: any;
}

/** An answer over HTTP. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  // deno-lint-ignore no-explicit-any -- see above
  readonly json: any;
}

/** Where to connect to. */
export type Target = { readonly port: number; readonly host: string } | { readonly path: string };

/** What a test starts. */
export interface ChainOptions {
  readonly runtime: TestRuntime;
  readonly config?: ServerConfig;
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly script?: string;
  readonly flags?: readonly string[];
  readonly args?: readonly string[];
  /** Descriptors that it finds from 3 on, as a service manager passes sockets. */
  readonly passed?: readonly (number | "pipe")[];
}

/** Whether a process exists and has not ended. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

/** Waits until a condition holds. @throws {Error} after half a minute, with what was waited for. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  ms = 30_000,
): Promise<void> {
  const deadline = performance.now() + ms;
  while (!await holds()) {
    if (performance.now() > deadline) throw new Error(`Waited ${ms} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** How many descriptors a process has. */
export function countDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** A first generation and its successors. */
export class Chain {
  readonly said: Said[] = [];
  readonly first: ChildProcess;
  /** What the generations wrote to stderr. */
  errors = "";
  readonly #waiting = new Set<() => void>();
  readonly #reported = new Set<number>();

  constructor(options: ChainOptions) {
    const { runtime, config = {}, script = serverScript, flags = [], args = [] } = options;
    const [file = "", ...rest] = runtime.command(script, [...args], [...flags]);
    this.first = spawn(file, rest, {
      stdio: ["ignore", "pipe", "pipe", ...options.passed ?? []],
      env: { ...process.env, CONFIG: JSON.stringify(config), NO_COLOR: "1", ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    let pending = "";
    this.first.stdout?.on("data", (chunk: Uint8Array) => {
      const lines = (pending + new TextDecoder().decode(chunk)).split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) {
        if (line.startsWith("{")) this.said.push(JSON.parse(line));
        else this.errors += line + "\n";
      }
      for (const wake of this.#waiting) wake();
    });
    this.first.stderr?.on(
      "data",
      (chunk: Uint8Array) => this.errors += new TextDecoder().decode(chunk),
    );
    this.first.once("exit", () => {
      for (const wake of this.#waiting) wake();
    });
  }

  /** Waits until some generation says `event`. */
  async event(event: string, generation?: number, ms = 40_000): Promise<Said> {
    const find = () =>
      this.said.find((said) =>
        said.event === event && (generation === undefined || said.generation === generation)
      );
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(
          new Error(
            `Nobody said "${event}" (generation ${generation}) within ${ms} ms; said was ${
              JSON.stringify(this.said)
            }; stderr was ${this.errors}`,
          ),
        );
      }, ms);
      const look = () => {
        if (find() === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
    return find() as Said;
  }

  /** Where the newest generation that said it listens under a name. */
  address(name: string): Target {
    for (const said of this.said.toReversed()) {
      const addresses = (said["addresses"] ?? []) as {
        name: string;
        port?: number;
        hostname?: string;
        path?: string;
      }[];
      const found = addresses.find((address) => address.name === name);
      if (found?.path !== undefined) return { path: found.path };
      if (found?.port !== undefined) {
        const host = found.hostname === "::" || found.hostname === "0.0.0.0"
          ? "127.0.0.1"
          : found.hostname;
        return { port: found.port, host: host ?? "127.0.0.1" };
      }
    }
    throw new Error(`Nobody listens under "${name}"`);
  }

  /** One HTTP request to the main server. */
  async get(path = "/", body?: unknown, name = "main"): Promise<Answer> {
    const answer = await get(this.address(name), path, body);
    // A successor may be told of before it has said anything.
    const { pid, steps } = answer.json ?? {};
    if (typeof pid === "number" && steps !== undefined) this.#reported.add(pid);
    return answer;
  }

  /** Asks the serving generation for an upgrade to `runtime`. */
  upgradeTo(runtime: TestRuntime, env: Record<string, string> = {}): Promise<Answer> {
    return this.get("/admin/upgrade", { command: runtime.command(serverScript), env });
  }

  /** Process ids of all generations that have spoken, or were told of. */
  get pids(): number[] {
    return [...new Set([...this.said.map(({ pid }) => pid), ...this.#reported])];
  }

  /** Ends whatever is left; for `t.after`. */
  async end(): Promise<void> {
    const pids = [...this.pids, this.first.pid ?? 0].filter((pid) => pid > 1 && isRunning(pid));
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Gone meanwhile.
      }
    }
    await until("all generations are gone", () => pids.every((pid) => !isRunning(pid)));
    this.first.stdout?.destroy();
    this.first.stderr?.destroy();
  }
}

/** One HTTP request on a connection of its own. */
export function get(target: Target, path = "/", body?: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const where = "path" in target
      ? { socketPath: target.path }
      : { host: target.host, port: target.port };
    const sent = request({
      ...where,
      path,
      method: body === undefined ? "GET" : "POST",
      agent: false,
    }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => text += chunk);
      response.on("end", () => {
        let json: unknown;
        try {
          json = JSON.parse(text);
        } catch {
          json = undefined;
        }
        resolve({ status: response.statusCode ?? 0, text, json });
      });
    });
    sent.on("error", reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** What a server sends to a connection before it closes it. */
export function ask(target: Target): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(target);
    let text = "";
    socket.on("data", (chunk: Uint8Array) => text += new TextDecoder().decode(chunk));
    socket.on("end", () => resolve(text));
    socket.on("error", reject);
  });
}
