/**
 * One run of `upgrade()`: starts the child, hears what it says, remembers when.
 *
 * @module
 */

import type { Backend } from "./backend/backend.ts";
import { Child, reportedFailure, toFailure } from "./child.ts";
import { resolveCommand, type ResolvedCommand } from "./command.ts";
import type { DrainReport } from "./drain/drain.ts";
import type { HandingOver, Offers } from "./hand_over.ts";
import type { Event, Failure } from "./machine.ts";
import type { CommandOptions } from "./options.ts";
import {
  ENV_NAME,
  formatInvitation,
  type Frame,
  type HelloFrame,
  type ReadyFrame,
  tail,
} from "./protocol.ts";
import type { UpgradeReport } from "./report.ts";
import type { SocketRegister } from "./sockets.ts";
import { Watch, type WatchPlan } from "./watch.ts";

/** What the parent tells a child besides who it is and what it passes. */
export type Greeting = Pick<
  HelloFrame,
  "generation" | "deadlineMs" | "probationMs" | "draining" | "drainTimeoutMs" | "offers" | "control"
>;

/** Who is told about an attempt. */
export interface SuccessionObserver {
  /** What becomes of it. */
  dispatch(event: Event): void;
  /** What changes nothing. */
  warn(message: string): void;
  /** The successor wants a draining generation to cut its connections. */
  cut(pid: number): void;
  /** The successor has died as the owner of the service. */
  lost(pid: number): void;
}

/** One attempt to be replaced. */
export class Succession {
  readonly #backend: Backend;
  readonly #overrides: CommandOptions;
  readonly #dispatch: (event: Event) => void;
  readonly #cut: (pid: number) => void;
  readonly #lost: (pid: number) => void;
  readonly #began: number;
  #child: Child | undefined;
  #ready: ReadyFrame | undefined;
  #isSpawning = false;
  #sockets = 0;
  readonly #state: HandingOver;
  #watch: Watch | undefined;
  #owned = false;
  /** Names of variables that `envFile` had when this process was started. */
  envFileNames: ReadonlySet<string> | undefined;
  #command: ResolvedCommand | undefined;
  #pause: DrainReport | undefined;
  #pausedMs = 0;
  #releasedMs = 0;
  #left = false;
  #spawnedMs = 0;
  #joinedMs = 0;
  #readyMs = 0;
  #committedMs = 0;
  #over = false;

  /** @param offers State that the child may take. */
  constructor(
    backend: Backend,
    overrides: CommandOptions,
    offers: Offers,
    observer: SuccessionObserver,
  ) {
    this.#backend = backend;
    this.#overrides = overrides;
    this.#dispatch = observer.dispatch;
    this.#cut = observer.cut;
    this.#lost = observer.lost;
    this.#began = backend.clock.now();
    this.#state = offers.begin({
      send: (frame) => this.send(frame),
      fail: (failure) => this.#tell({ type: "child-failed", failure }),
      warn: observer.warn,
    });
  }

  /** Identities of the sockets that the child has claimed. */
  get taken(): ReadonlySet<string> {
    return new Set(this.#ready?.used);
  }

  /** Works out what to start, before anything is given up for it. @throws {UpgradeError} `ERR_SPAWN` */
  async prepare(options: CommandOptions): Promise<void> {
    this.#command = await this.#resolve(options);
  }

  /** Nothing is accepted any more. @param report What became of the connections. */
  paused(report: DrainReport): void {
    this.#pause = report;
    this.#pausedMs = this.#elapsed();
  }

  /** The application has released what only one process may hold. */
  released(): void {
    this.#releasedMs = this.#elapsed();
  }

  #resolve(options: CommandOptions): Promise<ResolvedCommand> {
    const { facts, env } = this.#backend;
    const { envFileNames } = this;
    return resolveCommand(options, {
      facts,
      once: this.#overrides,
      environment: env,
      ...(envFileNames === undefined ? {} : { envFileNames }),
    });
  }

  /**
   * Starts the child; how that went is dispatched.
   *
   * @param variables What is put into its environment besides.
   */
  async start(
    register: SocketRegister,
    greeting: Greeting,
    options: CommandOptions,
    variables: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const backend = this.#backend;
    try {
      const { command, cwd, env } = this.#command ?? await this.#resolve(options);
      // To start a process takes milliseconds in which nothing is answered.
      await backend.breathe();
      // The functions of the user took longer than anybody waited.
      if (this.#over) return;
      const { entries, fds } = register.passOn();
      this.#sockets = entries.length;
      const invitation = { [ENV_NAME]: formatInvitation(backend.pid) };
      const environment = { ...env, ...variables, ...invitation };
      const said = backend.markStderr?.();
      // What it said itself is more to the point than the end of a file in which others write, too.
      const withOutput = (failure: Failure): Failure => {
        const output = failure.childOutput ?? said?.() ?? "";
        return output === "" ? failure : { ...failure, childOutput: output };
      };
      this.#isSpawning = true;
      this.#child = await Child.start(backend, { command, cwd, env: environment, fds }, {
        type: "hello",
        v: 1,
        pid: backend.pid,
        runtime: backend.runtime,
        sockets: entries,
        ...greeting,
      }, {
        frame: (frame) => this.#heard(frame),
        failed: (failure) => this.#tell({ type: "child-failed", failure: withOutput(failure) }),
        exited: (failure) => this.#tell({ type: "child-exited", failure: withOutput(failure) }),
        lost: () => {
          if (this.#owned && !this.#left) this.#lost(this.#child?.pid ?? 0);
        },
      });
      if (this.#over) {
        // It came to be after everybody had given it up; it must not be left behind.
        this.#child.kill("SIGKILL");
        this.#child.release();
        return;
      }
      this.#spawnedMs = this.#elapsed();
      this.#tell({ type: "spawned" });
    } catch (error) {
      this.#tell({ type: "spawn-failed", failure: toFailure(error, "ERR_SPAWN") });
    }
  }

  /** Process id of the child that was started and has not been let go. */
  get pid(): number | undefined {
    return this.#over ? undefined : this.#child?.pid;
  }

  /** Whether the child still hears what is said. */
  get isHeard(): boolean {
    return this.#child?.isHearing ?? false;
  }

  /** Says something to the child. */
  send(frame: Frame): void {
    if (frame.type === "commit") this.#committedMs = this.#elapsed();
    this.#child?.send(frame);
  }

  /** Runs the application's health check on the child until it has taken over or is gone. */
  watch(plan: WatchPlan): void {
    if (this.#ready === undefined) return;
    const { pid, generation, runtime, version } = this.#ready;
    this.#watch = new Watch(
      this.#backend.clock,
      plan,
      { pid, generation, runtime, version },
      (frame) => this.send(frame),
      (message) =>
        this.#tell({ type: "child-failed", failure: { code: "ERR_ROLLED_BACK", message } }),
    );
  }

  /** Calls it off: tells the child, or starts none. */
  abort(reason: string): void {
    this.#state.end(false);
    this.#watch?.stop();
    if (this.#isSpawning) {
      this.send({ type: "abort", reason: tail(reason) });
      return;
    }
    this.#tell({ type: "spawn-failed", failure: { code: "ERR_ABORTED", message: reason } });
    this.#over = true;
  }

  /** Sends the child a signal. */
  kill(signal: string): void {
    this.#child?.kill(signal);
  }

  /** Lets go of the child; one that has not been started is not started any more, and nothing more is told. */
  release(): void {
    this.#over = true;
    this.#state.end(this.#owned);
    this.#watch?.stop();
    this.#child?.release();
  }

  /** How it went, once the child owns the service. */
  report(): UpgradeReport | undefined {
    if (this.#ready === undefined) return undefined;
    const { generation, pid, runtime, version } = this.#ready;
    const ownedMs = this.#elapsed();
    const pause = this.#pause;
    return {
      generation,
      pid,
      runtime,
      version,
      sockets: this.#sockets,
      stateBytes: this.#state.bytes,
      durationMs: ownedMs,
      ...(pause === undefined ? {} : { pause }),
      steps: {
        ...(pause === undefined ? {} : { pausedMs: this.#pausedMs, releasedMs: this.#releasedMs }),
        spawnedMs: this.#spawnedMs,
        joinedMs: this.#joinedMs,
        readyMs: this.#readyMs,
        committedMs: this.#committedMs,
        ownedMs,
      },
    };
  }

  #tell(event: Event): void {
    if (!this.#over) this.#dispatch(event);
  }

  #elapsed(): number {
    return this.#backend.clock.now() - this.#began;
  }

  #heard(frame: Frame): void {
    switch (frame.type) {
      case "joined":
        this.#joinedMs = this.#elapsed();
        this.#tell({ type: "child-joined" });
        break;
      case "ready":
        this.#ready = frame;
        this.#readyMs = this.#elapsed();
        this.#tell({ type: "child-ready" });
        break;
      case "fail":
        this.#tell({
          type: "child-failed",
          failure: reportedFailure(frame.message, frame.stack),
        });
        break;
      case "take":
      case "more":
        // Once it is ready it has what it needs.
        if (this.#ready === undefined) this.#state.heard(frame);
        break;
      case "tell":
        this.#watch?.heard(frame);
        break;
      case "cut":
        if (this.#owned) this.#cut(frame.pid);
        break;
      case "left":
        this.#left = true;
        break;
      case "owned":
        this.#owned = true;
        this.#tell({ type: "commit-acked" });
        break;
    }
  }
}
