/**
 * Starts `tests/fixtures/serve.ts` and watches it.
 *
 * @module
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ServeConfig } from "../fixtures/serve.ts";
import { Chain, type Target } from "./chain.ts";
import { current, type TestRuntime } from "./runtimes.ts";

const script = fileURLToPath(new URL("../fixtures/serve.ts", import.meta.url));
/** A port that the system chooses. */
export const anyPort: ServeConfig = { port: 0, hostname: "127.0.0.1", name: "web" };

/** A program that serves, and a folder for it. */
export class Program {
  readonly folder: string = mkdtempSync(join(tmpdir(), "co-"));
  readonly chain: Chain;
  readonly #next = join(this.folder, "next.json");

  constructor(parent: TestRuntime, child: TestRuntime, config: ServeConfig) {
    writeFileSync(this.#next, JSON.stringify(child.command(script)));
    const path = config.path === undefined ? {} : { path: join(this.folder, config.path) };
    this.chain = new Chain({
      runtime: parent,
      script,
      env: { NEXT: this.#next, CONFIG: JSON.stringify({ ...config, ...path }) },
    });
  }

  /** Where it serves, once it is ready. */
  get target(): Target {
    return this.chain.address("web");
  }

  /** Ends what is left of it. */
  async end(): Promise<void> {
    await this.chain.end();
    rmSync(this.folder, { recursive: true });
  }
}

/** Runs the program on the runtime of this test. */
export async function using(
  config: ServeConfig,
  use: (program: Program) => Promise<void>,
): Promise<void> {
  const program = new Program(current(), current(), config);
  try {
    await use(program);
  } finally {
    await program.end();
  }
}
