/**
 * Processes that this one starts, and those that fall to it when their parents end: for `changeover run`.
 *
 * A generation is the child of the one before, which ends. The kernel then gives it to the nearest ancestor that has
 * declared itself a subreaper, or to the first process of the PID namespace (prctl(2), pid_namespaces(7)). Whoever gets
 * it has to wait for it: nobody else learns how it ends, and it stays as a zombie until then. No runtime waits for
 * processes that it has not started, so it takes C calls; without them see `perl_offspring.ts`.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import type { ExitStatus } from "./backend.ts";
import type { Libc } from "./libc/libc.ts";
import { loadLibc } from "./libc/load.ts";
import { exitStatus, type Offspring, startError, type StartRequest } from "./offspring_types.ts";
import { startPerl } from "./perl_offspring.ts";
import { processTable } from "./process_table.ts";

/** Children by `node:child_process`; those that were adopted by C calls, where there are some. */
class NodeOffspring implements Offspring {
  readonly reaps: true | string;
  readonly adopts: boolean;
  readonly helpers: readonly number[] = [];
  readonly #libc: Libc | undefined;
  readonly #request: StartRequest;
  /** Those that the runtime waits for. */
  readonly #own = new Map<number, ChildProcess>();
  /** Zombies whose end was told, where nobody can take note of it. */
  readonly #told = new Set<string>();
  #receive: (pid: number, status: ExitStatus) => void = () => {};

  constructor(request: StartRequest, libc: Libc | undefined, reaps: true | string) {
    this.#request = request;
    this.#libc = libc;
    this.reaps = reaps;
    // The first process of a PID namespace gets them in any case.
    this.adopts = reaps === true || process.pid === 1;
  }

  async start(): Promise<number> {
    const { command, env, fds } = this.#request;
    const [program = "", ...args] = command;
    // LISTEN_PID is the number of a process that there is not yet: a shell sets it and becomes the program.
    const shell = ["-c", 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"', "sh", ...command];
    // Service managers pass blocking sockets, and programs that know nothing of us count on it. The library's own
    // generations set O_NONBLOCK again; none of them accepts while another one is started from here.
    for (const fd of fds) this.#libc?.setNonBlocking(fd, false);
    let child: ChildProcess;
    try {
      child = spawn(fds.length === 0 ? program : "/bin/sh", fds.length === 0 ? args : shell, {
        env,
        stdio: ["inherit", "inherit", "inherit", ...fds],
        // A session of its own: what a terminal sends to its foreground processes reaches this process alone, which
        // passes it on once.
        detached: true,
      });
    } catch (error) {
      throw startError(program, error);
    }
    const { pid } = child;
    if (pid === undefined) {
      const error = await new Promise((resolve) => child.once("error", resolve));
      throw startError(program, error);
    }
    this.#own.set(pid, child);
    child.once("exit", (code, signal) => {
      this.#own.delete(pid);
      this.#receive(pid, { code, signal });
    });
    return pid;
  }

  onEnd(receiver: (pid: number, status: ExitStatus) => void): void {
    this.#receive = receiver;
  }

  collect(): void {
    if (!this.adopts) return;
    for (const { pid, ppid, isZombie, exitStatus: shown, started } of processTable.all()) {
      if (ppid !== process.pid || !isZombie || this.#own.has(pid)) continue;
      // Where it cannot be reaped it stays, and /proc shows how it ended.
      const status = this.#libc === undefined ? shown : this.#libc.reap(pid);
      const key = `${pid} ${started}`;
      if (status === undefined || this.#told.has(key)) continue;
      if (this.#libc === undefined) this.#told.add(key);
      this.#receive(pid, exitStatus(status));
    }
  }

  close(): void {
    for (const child of this.#own.values()) child.unref();
  }
}

/**
 * Prepares this process to be a parent to whom orphans fall.
 *
 * @param request What is to be started, once or more often.
 * @returns Something that starts it; its `adopts` tells whether orphans fall to this process, its `reaps` whether they leave zombies.
 */
export async function createOffspring(request: StartRequest): Promise<Offspring> {
  if (process.platform !== "linux") {
    return new NodeOffspring(request, undefined, "the system's first process takes orphans here");
  }
  const result = loadLibc();
  if ("libc" in result) {
    try {
      result.libc.becomeSubreaper();
      return new NodeOffspring(request, result.libc, true);
    } catch (error) {
      const reaps = process.pid === 1 || (error as Error).message;
      return new NodeOffspring(request, result.libc, reaps);
    }
  }
  return await startPerl(request) ??
    new NodeOffspring(request, undefined, `${result.reason}, or install perl`);
}
