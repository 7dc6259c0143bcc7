/**
 * This library, on each runtime and kind of server.
 *
 * @module
 */

import { discover, type TestRuntime } from "../../scripts/runtimes.mjs";
import { signal } from "../measure/processes.ts";
import type { Peer, Service } from "./peer.ts";
import { Program, type Said, serverPath } from "./program.ts";

/** A runtime and the kind of its server. */
export interface Variant {
  readonly name: string;
  readonly label: string;
  readonly runtime: TestRuntime;
  /** `native`: `Deno.serve`, `Bun.serve`; else `node:http`. */
  readonly kind: "native" | "node";
}

/** All that are here. */
export function variants(): Variant[] {
  return discover().present.flatMap((runtime): Variant[] => {
    const node = { runtime, kind: "node" } as const;
    if (runtime.runtime === "node") {
      const label = `Node ${runtime.name.slice("node".length)}`;
      return [{ ...node, name: runtime.name, label }];
    }
    const title = runtime.runtime === "deno" ? "Deno" : "Bun";
    return [
      { runtime, kind: "native", name: `${runtime.name}-serve`, label: `${title}.serve` },
      { ...node, name: `${runtime.name}-node`, label: `node:http on ${title}` },
    ];
  });
}

/** The command line that runs a server of `bench/servers`. */
export function commandOf(runtime: TestRuntime, server: string): string[] {
  const flags = runtime.runtime === "deno" ? ["--no-check", "--unstable-net"] : [];
  return runtime.command(serverPath(server), [], flags);
}

/** A chain of generations of `bench/servers/changeover.mjs`. */
export class Chain implements Service {
  readonly program: Program;
  /** What each generation said when it was the owner. */
  readonly generations: Said[];

  private constructor(program: Program, first: Said) {
    this.program = program;
    this.generations = [first];
  }

  /** Starts generation 1. */
  static async start(
    { runtime, kind }: Pick<Variant, "runtime" | "kind">,
    env: Readonly<Record<string, string>> = {},
    server = "changeover.mjs",
  ): Promise<Chain> {
    const program = new Program(commandOf(runtime, server), { env: { KIND: kind, ...env } });
    try {
      return new Chain(program, await program.heard("ready", ({ ready }) => ready === true));
    } catch (error) {
      await program.end();
      throw error;
    }
  }

  get port(): number {
    return this.generations[0]!["port"] as number;
  }

  get sessions(): ReadonlySet<number> {
    return this.program.sessions;
  }

  /** The process that owns the service. */
  get newest(): Said {
    return this.generations.at(-1)!;
  }

  async flip(): Promise<void> {
    const generation = this.generations.length + 1;
    signal(this.newest.pid, "SIGHUP");
    this.generations.push(
      await this.program.heard(
        `generation ${generation}`,
        (said) => said["ready"] === true && said["generation"] === generation,
      ),
    );
  }

  async stop(): Promise<void> {
    await this.program.end();
  }
}

/** As something to compare with. */
export function changeoverPeers(): Peer[] {
  return variants().map((variant) => ({
    name: `changeover-${variant.name}`,
    label: `changeover, ${variant.label}`,
    ours: true,
    practice: "SIGHUP; the application calls `listen`, `ready`, `exit` and `drain`",
    source: "README.md",
    webSockets: true,
    start: () => Chain.start(variant, { WEB_SOCKETS: "1" }),
  }));
}
