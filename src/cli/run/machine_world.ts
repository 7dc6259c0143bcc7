/**
 * The machine as a supervisor sees it: processes, the file in which the owner tells its number, time.
 *
 * @module
 */

import { readFileSync, rmSync } from "node:fs";
import process from "node:process";
import { exitCodeOf, type Offspring } from "../../backend/offspring_types.ts";
import { processTable } from "../../backend/process_table.ts";
import { ENV_NAME } from "../../protocol.ts";
import type { Member } from "./family.ts";
import type { World } from "./world.ts";

/** A child's end is told in a moment; a busy machine takes seconds for it. */
const CHILD_MS = 10_000;
/** One that was never seen alive may have been somebody else's. */
const STRANGER_MS = 1_000;

/** The real world. */
export class MachineWorld implements World {
  readonly #offspring: Offspring;
  readonly #ownerFile: string | undefined;
  readonly #tell: (message: string) => void;
  #root: Member | undefined;
  /** Parents, as they were last seen. */
  readonly #parents = new Map<number, number>();

  /** A world whose first generations come from `offspring`. */
  constructor(
    offspring: Offspring,
    ownerFile: string | undefined,
    tell: (message: string) => void,
  ) {
    this.#offspring = offspring;
    this.#ownerFile = ownerFile;
    this.#tell = tell;
  }

  now(): number {
    return performance.now();
  }

  after(ms: number, callback: () => void): () => void {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  }

  async start(): Promise<number> {
    if (this.#ownerFile !== undefined) rmSync(this.#ownerFile, { force: true });
    this.#parents.clear();
    const pid = await this.#offspring.start();
    const started = processTable.get(pid)?.started ?? 0;
    this.#root = { pid, ppid: process.pid, started, invitedBy: undefined };
    return pid;
  }

  members(): readonly Member[] {
    const root = this.#root;
    if (root === undefined) return [];
    const owner = this.owner();
    if (!processTable.isThere) {
      const known = [root, ...(owner === undefined ? [] : [{ ...root, pid: owner }])];
      return known.filter((member) => this.isAlive(member));
    }
    const { helpers, session = root.pid } = this.#offspring;
    const parents = [process.pid, ...helpers];
    return processTable.all().filter((entry) =>
      !entry.isZombie && !helpers.includes(entry.pid) && entry.started >= root.started &&
      (entry.session === session || entry.pid === owner || parents.includes(entry.ppid))
    ).map((entry) => {
      this.#parents.set(entry.pid, entry.ppid);
      return { ...entry, invitedBy: this.#invitedBy(entry.pid) };
    });
  }

  isAlive({ pid, started }: Member): boolean {
    if (!processTable.isThere) return this.kill(pid, "0");
    const entry = processTable.get(pid);
    return entry !== undefined && !entry.isZombie && entry.started === started;
  }

  kill(pid: number, signal: string): boolean {
    try {
      return process.kill(pid, signal === "0" ? 0 : signal);
    } catch {
      return false; // gone, or of another user: there is nothing to be done about either
    }
  }

  toldWithinMs(pid: number): number {
    if (pid === this.#root?.pid) return CHILD_MS;
    if (!this.#offspring.adopts) return 0;
    const parent = processTable.get(pid)?.ppid ?? this.#parents.get(pid);
    if (parent === undefined) return STRANGER_MS;
    if ([process.pid, ...this.#offspring.helpers].includes(parent)) return CHILD_MS;
    // A parent that is gone has left it to this process, and one that ends is about to: the first thread of a process
    // can be seen as a zombie before the others have ended, and only then its children fall to somebody else.
    return processTable.get(parent)?.isZombie === false ? 0 : CHILD_MS;
  }

  collect(): void {
    this.#offspring.collect();
  }

  owner(): number | undefined {
    if (this.#ownerFile === undefined) return undefined;
    try {
      const text = readFileSync(this.#ownerFile, "utf8");
      return /^[1-9]\d{0,9}\n$/.test(text) ? Number(text) : undefined;
    } catch {
      return undefined; // nobody has told, or has taken it back
    }
  }

  say(message: string): void {
    this.#tell(message);
  }

  exitCode(end: Parameters<World["exitCode"]>[0]): number {
    return exitCodeOf(end);
  }

  /** Read anew each time: between fork and exec a process still shows the environment of its parent. */
  #invitedBy(pid: number): number | undefined {
    const parent = /"ppid":(\d+)/.exec(processTable.variable(pid, ENV_NAME) ?? "")?.[1];
    return parent === undefined ? undefined : Number(parent);
  }
}
