/**
 * The benchmark's view of its client process.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { clearTimeout, setTimeout } from "node:timers";
import { fileURLToPath } from "node:url";
import type { Answer, ClientReport, LoadOrder, Order } from "./protocol.ts";

const script = fileURLToPath(new URL("./main.ts", import.meta.url));

/** A stop waits for what is under way, which ends at the time-out of a request; and then some. */
const ANSWER_LIMIT_MS = 30_000;

/** A client process, which carries out one load after the other. */
export class BenchClient {
  readonly #process: ChildProcess;
  #heard: ((answer: Answer | undefined) => void) | undefined;

  constructor() {
    this.#process = spawn(process.execPath, ["--no-warnings", script], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    createInterface({ input: this.#process.stdout! }).on("line", (line) => {
      this.#heard?.(JSON.parse(line) as Answer);
    });
    this.#process.once("exit", () => this.#heard?.(undefined));
    this.#process.once("error", () => this.#heard?.(undefined));
    this.#process.stdin!.on("error", () => {}); // it has ended: whoever waits is told by "exit"
  }

  /** Begins a load. */
  async start(order: LoadOrder): Promise<void> {
    await this.#ask({ kind: "start", order });
  }

  /** Begins another window. */
  mark(label: string): void {
    this.#tell({ kind: "mark", label });
  }

  /** Ends the load. */
  async stop(): Promise<ClientReport> {
    const answer = await this.#ask({ kind: "stop" });
    if (answer.kind !== "report") throw new Error(`The client said "${answer.kind}"`);
    return answer.report;
  }

  /** Ends the process. */
  end(): void {
    this.#process.kill("SIGKILL");
  }

  #tell(order: Order): void {
    this.#process.stdin!.write(`${JSON.stringify(order)}\n`);
  }

  #ask(order: Order): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`The client does not answer within ${ANSWER_LIMIT_MS / 1000} s`)),
        ANSWER_LIMIT_MS,
      );
      this.#heard = (answer) => {
        clearTimeout(timer);
        this.#heard = undefined;
        if (answer === undefined) reject(new Error("The client process has ended"));
        else if (answer.kind === "error") reject(new Error(`Client: ${answer.message}`));
        else resolve(answer);
      };
      this.#tell(order);
    });
  }
}
