/**
 * The logic of `changeover run`: starts the service, passes signals on, and ends when its newest generation has ended.
 *
 * @module
 */

import { Backoff } from "./backoff.ts";
import { type Family, familyOf, type Known, type Member } from "./family.ts";
import type { End, Wishes, World } from "./world.ts";

/** Signals that ask a service to end. */
export const STOP_SIGNALS: readonly string[] = ["SIGTERM", "SIGINT", "SIGQUIT"];

/** Ends by a signal that are no failures, as systemd has it ("Restart=" in systemd.service(5)). */
const CLEAN_SIGNALS: readonly (string | null)[] = ["SIGHUP", "SIGINT", "SIGTERM", "SIGPIPE"];
/** How often it is looked whether the owner lives: nobody tells of the end of a process that is somebody else's child. */
const LOOK_MS = 200;
/** How often all processes are looked at, in case that an end was not told. */
const TABLE_MS = 5_000;

/** One start of the service, and the generations that followed from it. */
interface Run {
  readonly root: number;
  readonly since: number;
  owner: Known["owner"];
  newest: Member | undefined;
  /** When the newest was seen to have ended. */
  endedAt: number | undefined;
  lookedAt: number;
}

type Phase =
  | { readonly name: "starting" }
  | { readonly name: "running"; readonly run: Run }
  /** It has failed and is started again in a moment. */
  | { readonly name: "pausing"; readonly exitCode: number; readonly cancel: () => void }
  /** The newest generation has ended; older ones may still have connections to finish. */
  | { readonly name: "finishing"; readonly exitCode: number }
  | { readonly name: "over" };

/** Runs a service. */
export class Supervisor {
  /** Resolves with the exit code when the service has ended. */
  readonly ended: Promise<number>;
  readonly #world: World;
  readonly #wishes: Wishes;
  readonly #backoff = new Backoff();
  readonly #cancels = new Map<"tick" | "grace", () => void>();
  #phase: Phase = { name: "starting" };
  /** How processes ended, as far as that was told. */
  #ends = new Map<number, End>();
  /** Generations that still have connections to finish, of starts whose newest one has ended. */
  #left: Member[] = [];
  #isStopped = false;
  /** Which signal told whom to stop: at first, and at last. */
  #stop: { readonly signal: string; readonly first: number; last: number } | undefined;
  #resolve!: (exitCode: number) => void;

  /** Nothing is started yet. */
  constructor(world: World, wishes: Wishes) {
    this.#world = world;
    this.#wishes = wishes;
    this.ended = new Promise((resolve) => this.#resolve = resolve);
  }

  /** Starts the service. @throws {Error} with an `exitCode` when that cannot be done. */
  async begin(): Promise<void> {
    await this.#start();
    this.#tick();
  }

  /** A child of this process has ended. */
  told(pid: number, end: End): void {
    this.#ends.set(pid, end);
    this.check();
  }

  /** A signal that is meant for the service. */
  signal(signal: string): void {
    const stops = STOP_SIGNALS.includes(signal);
    if (stops) this.#isStopped = true;
    const { graceMs } = this.#wishes;
    if (stops && graceMs !== undefined && !this.#cancels.has("grace")) {
      this.#cancels.set("grace", this.#world.after(graceMs, () => this.#kill()));
    }
    this.check();
    const phase = this.#phase;
    if (phase.name === "running" && phase.run.newest !== undefined) {
      const { pid } = phase.run.newest;
      this.#world.kill(pid, signal);
      if (stops) this.#stop ??= { signal, first: pid, last: pid };
    } else if (phase.name === "pausing" && stops) {
      phase.cancel();
      this.#phase = { name: "finishing", exitCode: phase.exitCode };
      this.check();
    } else if (phase.name === "pausing" && signal === "SIGHUP") {
      // Who wants a new version gets it at once: nothing else runs.
      phase.cancel();
      this.#again();
    } else if (phase.name === "finishing" && stops) {
      // They were told when they were replaced; a second time means now.
      for (const { pid } of this.#stillThere()) this.#world.kill(pid, signal);
    }
  }

  /** Something may have happened: looks what it was. */
  check(thoroughly = true): void {
    if (this.#phase.name === "running") this.#hearOwner(this.#phase.run);
    const newest = this.#phase.name === "running" ? this.#phase.run.newest : undefined;
    const isQuiet = newest !== undefined && this.#world.isAlive(newest);
    // What it finds is told at once, and so may change the phase.
    if (thoroughly || !isQuiet) this.#world.collect();
    if (this.#phase.name === "running" && (thoroughly || !isQuiet)) this.#look(this.#phase.run);
    if (this.#phase.name === "running") this.#stopAgain(this.#phase.run);
    if (this.#phase.name !== "finishing" || this.#stillThere().length > 0) return;
    for (const cancel of this.#cancels.values()) cancel();
    // A stop in the moment of a change calls the successor off, which may have said already that it owns the service:
    // that the one that was told to stop has ended well is what counts.
    const end = this.#stop === undefined ? undefined : this.#ends.get(this.#stop.first);
    this.#resolve(end?.code === 0 ? 0 : this.#phase.exitCode);
    this.#phase = { name: "over" };
  }

  /** All processes of the service, their subprocesses too. */
  get members(): readonly Member[] {
    const pids = new Map([...this.#stillThere(), ...this.#world.members()].map((m) => [m.pid, m]));
    return [...pids.values()];
  }

  #look(run: Run): void {
    run.lookedAt = this.#world.now();
    const family = familyOf(this.#world.members(), run);
    if (family.newest !== undefined) {
      run.newest = family.newest;
      run.endedAt = undefined;
      return;
    }
    const pid = run.owner?.pid ?? run.newest?.pid ?? run.root;
    run.endedAt ??= this.#world.now();
    const end = this.#ends.get(pid);
    if (end !== undefined) {
      const failed = end.code !== 0 && !CLEAN_SIGNALS.includes(end.signal);
      this.#newestEnded(run, family, this.#world.exitCode(end), failed);
    } else if (this.#world.now() - run.endedAt >= this.#world.toldWithinMs(pid)) {
      const stopped = run.owner !== undefined && this.#world.owner() === undefined;
      this.#world.say(
        `process ${pid} has ended, and its exit status went to another process: ${
          stopped
            ? "it had been told to stop, which counts as 0"
            : "it was not stopped, which counts as 1"
        }`,
      );
      this.#newestEnded(run, family, stopped ? 0 : 1, !stopped);
    }
  }

  /**
   * Who was told to stop may have been replaced meanwhile, and too near to its end to pass it on. A generation that hears
   * it twice in this way, from its parent and by the signal, is stopped once.
   */
  #stopAgain({ newest }: Run): void {
    const stop = this.#stop;
    if (stop === undefined || newest === undefined || newest.pid === stop.last) return;
    stop.last = newest.pid;
    this.#world.kill(newest.pid, stop.signal);
  }

  #hearOwner(run: Run): void {
    const pid = this.#world.owner();
    if (pid === undefined || pid === run.owner?.pid) return;
    const member = this.#world.members().find((member) => member.pid === pid);
    run.owner = { pid, started: member?.started };
    // It may have ended before it was seen.
    run.newest = member;
  }

  #newestEnded(run: Run, { others }: Family, exitCode: number, failed: boolean): void {
    this.#left = [...this.#stillThere(), ...others];
    if (failed && this.#wishes.restart && !this.#isStopped) {
      const ranMs = this.#world.now() - run.since;
      this.#pause(`the service ended with exit code ${exitCode}`, exitCode, ranMs);
    } else this.#phase = { name: "finishing", exitCode };
  }

  #pause(what: string, exitCode: number, ranMs: number): void {
    const ms = this.#backoff.failed(ranMs);
    this.#world.say(`${what}; starting it again in ${ms} ms`);
    const cancel = this.#world.after(ms, () => this.#again());
    this.#phase = { name: "pausing", exitCode, cancel };
  }

  #again(): void {
    this.#phase = { name: "starting" };
    this.#start().catch((error: Error & { readonly exitCode?: number }) => {
      const exitCode = error.exitCode ?? 1;
      if (!this.#isStopped) return this.#pause(error.message, exitCode, 0);
      this.#phase = { name: "finishing", exitCode };
      this.check();
    });
  }

  async #start(): Promise<void> {
    this.#ends = new Map();
    const root = await this.#world.start();
    const now = this.#world.now();
    this.#phase = {
      name: "running",
      run: {
        root,
        since: now,
        owner: undefined,
        newest: undefined,
        endedAt: undefined,
        lookedAt: now,
      },
    };
    // Told to stop while it was being started.
    if (this.#isStopped) {
      this.#stop = { signal: "SIGTERM", first: root, last: root };
      this.#world.kill(root, "SIGTERM");
    }
    this.check();
  }

  #stillThere(): Member[] {
    return this.#left.filter((member) => this.#world.isAlive(member));
  }

  #kill(): void {
    const { members } = this;
    if (members.length === 0) return;
    this.#world.say(
      `killing what is left ${this.#wishes.graceMs} ms after the stop signal: ${
        members.map(({ pid }) => pid).join(", ")
      }`,
    );
    for (const { pid } of members) this.#world.kill(pid, "SIGKILL");
  }

  #tick(): void {
    const cancel = this.#world.after(LOOK_MS, () => {
      const phase = this.#phase;
      this.check(
        phase.name === "running" && this.#world.now() - phase.run.lookedAt >= TABLE_MS,
      );
      if (this.#phase.name !== "over") this.#tick();
    });
    this.#cancels.set("tick", cancel);
  }
}
