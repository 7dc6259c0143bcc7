/**
 * The inside of an upgrader: carries out what the state machine asks for, and tells it what happened.
 *
 * @module
 */

import { type Address, formatAddress, identityOf, parseBoundAddress } from "./address.ts";
import type { Backend, Disposer, Listener, StartServer } from "./backend/backend.ts";
import { toError, toFailure } from "./child.ts";
import { below } from "./command_files.ts";
import { ControlSocket } from "./control/control.ts";
import { metricsText } from "./control/metrics.ts";
import type { FinishWork, WorkOptions } from "./drain/application.ts";
import type { DrainPlan, DrainReport } from "./drain/drain.ts";
import { Engine, type OuterEffect } from "./engine.ts";
import { namesInEnvFiles } from "./command_env_file.ts";
import { UpgradeError } from "./errors.ts";
import { Exclusives } from "./exclusive.ts";
import { Generations } from "./generations.ts";
import { Offers, Receiving } from "./hand_over.ts";
import { Leaving } from "./leaving.ts";
import {
  type Failure,
  initialState,
  type LifecycleEvent,
  type RequestId,
  type State,
  type TimerName,
} from "./machine.ts";
import { Names, removeSocket } from "./names.ts";
import {
  type CommandOptions,
  MAX_TIMER_MS,
  type ResolvedOptions,
  type UpgradeMode,
} from "./options.ts";
import type { Parent } from "./parent.ts";
import { type Frame, type ReadyFrame, tail } from "./protocol.ts";
import type { UpgradeReport, UpgraderStatus } from "./report.ts";
import { Runner } from "./runner.ts";
import { Sequential } from "./sequential.ts";
import { installSignals } from "./signals.ts";
import { SocketRegister } from "./sockets.ts";
import { Succession } from "./succession.ts";
import type { Activation } from "./systemd/activation.ts";
import type { ServiceNotifier } from "./systemd/notifier.ts";
import { type Tell, Teller } from "./teller.ts";
import { shareTicketKeys } from "./tickets.ts";
import { DURATION_BOUNDS } from "./totals.ts";

// How long a process that was asked to go may take before it is killed.
const KILL_GRACE_MS = 2_000;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** The inside of an upgrader. */
export class Core {
  /** Which process in the chain this is; the first is 1. */
  readonly generation: number;
  /** Why the process should leave. */
  readonly exit: Promise<"upgraded" | "stopped">;
  /** The parent process has ended, or there never was one. */
  readonly parentGone: Promise<void>;
  /** Inherited and used sockets. */
  readonly register: SocketRegister;
  /** Application state that this process can hand over. */
  readonly offers: Offers = new Offers();
  /** Application state that the parent hands over. */
  readonly receiving: Receiving;
  /** What only one process may hold. */
  readonly exclusives: Exclusives = new Exclusives();
  readonly #backend: Backend;
  readonly #options: ResolvedOptions;
  readonly #parent: Parent | undefined;
  readonly #engine: Engine;
  readonly #teller: Teller;
  readonly #leaving: Leaving = new Leaving();
  readonly #names: Names;
  readonly #control: ControlSocket | undefined;
  readonly #runner: Runner;
  readonly #notifier: ServiceNotifier | undefined;
  readonly #waiting = new Map<RequestId, Waiting>();
  readonly #disposers: Disposer[] = [];
  #resolveExit!: (reason: "upgraded" | "stopped") => void;
  #resolveParentGone!: () => void;
  readonly #generations: Generations;
  #lastRequest = 0;
  #succession: Succession | undefined;
  readonly #envFileNames: ReadonlySet<string>;
  readonly #sequential: Sequential;
  #stopSignals = 0;
  /** Whether the parent may still call this process off: until it has said that it drains. */
  #isRevocable: boolean;
  readonly #settled: (() => void)[] = [];
  #hasAccepted = false;
  #hasOwned = false;

  /** Wires everything together; events are told from now on. */
  constructor(
    backend: Backend,
    options: ResolvedOptions,
    from: {
      readonly parent: Parent | undefined;
      readonly activation?: Activation | undefined;
      readonly notifier?: ServiceNotifier | undefined;
    },
    tell: Tell,
  ) {
    const { parent } = from;
    this.#backend = backend;
    this.#options = options;
    const { envFile, cwd = "" } = options.command;
    this.#envFileNames = namesInEnvFiles(envFile, below(backend.facts.cwd, cwd));
    this.#parent = parent;
    this.#isRevocable = parent !== undefined;
    this.#notifier = from.notifier;
    const hello = parent?.hello;
    this.generation = hello?.generation ?? 1;
    const { generation } = this;
    this.#control = this.#controlSocket();
    this.#teller = new Teller({ generation, pid: backend.pid }, options.logger, (event, detail) => {
      this.#control?.tell(event, detail);
      this.#notifier?.told(event, detail);
      tell(event, detail);
    });
    this.register = new SocketRegister(hello?.sockets, from.activation);
    this.receiving = new Receiving(hello?.offers ?? [], (frame) => parent?.send(frame));
    this.#runner = new Runner(backend);
    this.#names = new Names(options.pidFile, backend.pid, this.#control);
    this.#generations = new Generations(backend, hello);
    this.exit = new Promise((resolve) => this.#resolveExit = resolve);
    this.parentGone = new Promise((resolve) => this.#resolveParentGone = resolve);
    if (parent === undefined) this.#resolveParentGone();
    this.#engine = new Engine(initialState(parent !== undefined), {
      clock: backend.clock,
      duration: (timer, patient) => this.#duration(timer, patient),
      run: (effect) => this.#run(effect),
      entered: (state) => this.#entered(state),
    });
    this.#sequential = new Sequential({
      register: this.register,
      leaving: this.#leaving,
      exclusives: this.exclusives,
      command: options.command,
      clock: backend.clock,
      plan: this.#drainPlan(),
      caughtUp: () => backend.caughtUp(),
      state: () => this.#engine.state,
      succession: () => this.#succession,
      dispatch: (event) => this.#engine.dispatch(event),
      error: (message) => this.log("error", message),
    });
    parent?.observe({
      frame: (frame) => this.#fromParent(frame),
      garbled: (error) => this.#garbledParent(error),
      gone: () => {
        this.#confirmed();
        this.receiving.end("the parent has died");
        this.#generations.parentGone(parent.hello.pid);
        this.#resolveParentGone();
        this.#engine.dispatch({ type: "parent-gone" });
      },
    });
    if (parent !== undefined) {
      this.#disposers.push(backend.onFatalError((error) => {
        if (this.#engine.state.name !== "starting") return;
        const { message, childOutput } = toFailure(error, "ERR_CHILD_FAILED");
        parent.sendSync({ type: "fail", message: tail(message), stack: childOutput ?? "" });
      }));
    }
    this.#disposers.push(installSignals(backend, options.signals, {
      upgrade: () => this.#upgradeSignal(),
      stop: () => this.#stopSignal(),
    }));
  }

  /** Whether this process has let go of its sockets, or is about to. */
  get isLeaving(): boolean {
    return ["draining", "stopping", "exited"].includes(this.#engine.state.name);
  }

  /** Makes a server listen, or a socket receive: see `Upgrader.listen` and `Upgrader.bind`. */
  async listen(target: Address, server: unknown, isServer: boolean): Promise<Listener> {
    this.#mayListen();
    const identity = identityOf(target);
    const inherited = this.register.claim(identity, target.kind, target);
    let listener: Listener;
    try {
      const listenTarget = inherited === undefined ? { address: target } : {
        address: target,
        inherited: { fd: inherited.fd, bound: parseBoundAddress(inherited.address, target.kind) },
      };
      listener = isServer
        ? await this.#backend.listen(server, listenTarget)
        : await this.#backend.start(server as StartServer, listenTarget);
    } catch (error) {
      this.register.release(identity);
      if (inherited !== undefined) {
        this.#backend.closeFd(inherited.fd);
        this.#parent?.send(failFrame(toFailure(error, "ERR_ADOPT")));
      }
      throw error;
    }
    const { bound } = listener;
    this.register.use({
      identity,
      kind: target.kind,
      fd: () => listener.fd,
      address: formatAddress(bound),
      listener,
      bound,
      managed: inherited?.managed,
    });
    if (bound.kind === "unix" && !inherited?.managed) this.#names.addPath(bound.path);
    // A UDP socket has no connections.
    if (target.kind !== "udp") this.#leaving.watch(identity, listener);
    await shareTicketKeys(listener.server, identity, this.offers, this.receiving);
    // Stopped or called off meanwhile: nobody else would close it.
    if (this.isLeaving) listener.close();
    else if (this.#hasAccepted) await listener.open();
    return listener;
  }

  /** See `Upgrader.ready`. */
  async ready(): Promise<void> {
    try {
      await this.#request((request) => this.#engine.dispatch({ type: "ready-called", request }));
    } catch (error) {
      // Most applications end for this error: what was accepted already is answered before.
      if (this.#hasAccepted && !this.#hasOwned && this.isLeaving) await this.drain(undefined);
      throw error;
    }
  }

  /** See `Upgrader.upgrade`. */
  async upgrade(
    overrides: CommandOptions,
    mode: UpgradeMode = this.#options.mode,
  ): Promise<UpgradeReport> {
    const { probationMs, maxDraining } = this.#options;
    try {
      if (this.#isRevocable && this.#engine.state.name === "serving") await this.#confirmation();
      return await this.#request((request) => {
        if (this.#engine.state.name === "serving") {
          if (mode === "parallel" && this.exclusives.size > 0) {
            this.log(
              "warn",
              'what was given to exclusive() is not released in a parallel upgrade; use mode "sequential"',
            );
          }
          this.#succession = new Succession(this.#backend, overrides, this.offers, {
            dispatch: (event) => this.#engine.dispatch(event),
            warn: (message) => this.log("warn", message),
            cut: (pid) => this.#cut(pid),
            lost: (pid) => this.#lost(pid),
          });
          this.#succession.envFileNames = this.#envFileNames;
        }
        this.#engine.dispatch({
          type: "upgrade-requested",
          request,
          probation: probationMs > 0,
          sequential: mode === "sequential",
          draining: this.#makeRoom(),
          maxDraining,
        });
      }) as UpgradeReport;
    } catch (error) {
      // Whoever sent a signal has nobody else to tell it.
      this.log("error", (error as Error).message);
      const code = UpgradeError.is(error) ? error.code : "ERR_INTERNAL";
      this.#teller.totals.failed(code);
      if (code === "ERR_TOO_MANY_GENERATIONS") this.#notifier?.refused((error as Error).message);
      throw error;
    }
  }

  /** See `Upgrader.stop`. */
  stop(): void {
    this.#engine.dispatch({ type: "stop-called" });
  }

  /** See `Upgrader.confirm`. */
  confirm(): void {
    if (this.#engine.state.name !== "probation") {
      throw new UpgradeError("ERR_NOT_READY", "Cannot confirm: no child is on probation");
    }
    this.#engine.dispatch({ type: "probation-over" });
  }

  /** See `Upgrader.fail`. */
  fail(reason: string): void {
    const { state } = this.#engine;
    if (state.name !== "starting" || state.parent !== "alive") {
      throw new UpgradeError(
        "ERR_NOT_READY",
        "Cannot fail: this process is not being tried by a parent; call stop() instead",
      );
    }
    this.#engine.dispatch({ type: "fail-called", reason });
  }

  /** See `Upgrader.drainWith`. */
  drainWith(name: string, finish: FinishWork, options: WorkOptions): () => void {
    return this.#leaving.add(name, finish, options, (message) => this.log("warn", message));
  }

  /** See `Upgrader.drain`. */
  async drain(timeoutMs: number | undefined): Promise<DrainReport> {
    if (!this.isLeaving) {
      throw new UpgradeError(
        "ERR_NOT_READY",
        "Cannot drain: the process still serves; await exit first",
      );
    }
    const plan = this.#drainPlan(timeoutMs);
    const { clock } = this.#backend;
    // Letting go of the sockets took its time, and so does what comes.
    await this.#backend.breathe();
    const report = await this.#leaving.begin(
      plan,
      clock,
      () => this.#backend.caughtUp(),
      (report) => {
        this.#teller.drain = report;
        if (report.cut > 0) {
          this.log(
            "warn",
            `generation ${this.generation} cut ${report.cut} connections at the end of its time`,
          );
        }
        this.#engine.dispatch({ type: "drained" });
      },
    );
    // Whoever was asking when this process was replaced is answered; that is bounded, and mostly over by now.
    await this.#control?.left;
    return report;
  }

  /** See `Upgrader.status`. */
  status(): UpgraderStatus {
    return {
      generation: this.generation,
      pid: this.#backend.pid,
      runtime: this.#backend.runtime,
      version: this.#backend.version,
      state: this.#engine.state.name,
      sockets: this.register.addresses,
      connections: this.#leaving.connections,
      drain: this.#leaving.progress,
      draining: this.#generations.living(),
      lastReport: this.#teller.report,
      history: this.#teller.records,
    };
  }

  /** Tells the operator. */
  log(level: "info" | "warn" | "error", message: string): void {
    this.#teller.log(level, message);
  }

  #drainPlan(timeoutMs: number = this.#options.drainTimeoutMs): DrainPlan {
    const { drainSpreadMs, webSocketSpreadMs, idleGraceMs } = this.#options;
    return { timeoutMs, spreadMs: drainSpreadMs, webSocketSpreadMs, idleGraceMs };
  }

  #mayListen(): void {
    const { name } = this.#engine.state;
    if (name === "starting" || name === "serving") return;
    throw name === "upgrading" || name === "probation"
      ? new UpgradeError(
        "ERR_UPGRADE_IN_PROGRESS",
        "Cannot listen: an upgrade is running; wait for its outcome",
      )
      : new UpgradeError("ERR_STOPPED", "Cannot listen: the process is leaving");
  }

  /** Nothing that the parent says can take the service away any more, or it has just done so. */
  #confirmed(): void {
    this.#isRevocable = false;
    for (const wake of this.#settled.splice(0)) wake();
  }

  /**
   * Waits until the parent has let go, which takes a moment: a child that is started before would be left without a
   * parent, and take over, should this process be called off.
   */
  #confirmation(): Promise<void> {
    return new Promise((resolve, reject) => {
      const stopWaiting = this.#backend.clock.after(this.#options.upgradeTimeoutMs, () => {
        reject(
          new UpgradeError(
            "ERR_UPGRADE_IN_PROGRESS",
            "Cannot upgrade: the parent has not let go of the service yet; see whether it hangs, or stop it",
          ),
        );
      });
      this.#settled.push(() => {
        stopWaiting();
        resolve();
      });
    });
  }

  /** How many generations drain that would be too many. */
  #makeRoom(): number {
    const living = this.#generations.living();
    const { maxDraining, drainingPolicy } = this.#options;
    if (drainingPolicy === "refuse" || this.#engine.state.name !== "serving") return living.length;
    const oldest = living.slice(0, Math.max(0, living.length - maxDraining));
    for (const { pid } of oldest) this.#cutOther(pid);
    return living.length - oldest.length;
  }

  /** A draining process cuts when its successor says so; one that cannot be reached so has lost its successor. */
  #cutOther(pid: number): void {
    if (!this.#parent?.send({ type: "cut", pid })) this.#backend.kill(pid, "SIGTERM");
  }

  #cut(pid: number): void {
    if (pid !== this.#backend.pid) return this.#cutOther(pid);
    this.#leaving.cut();
  }

  /** Nobody serves any more; this process has let go of its sockets and cannot either. */
  #lost(pid: number): void {
    if (this.#engine.state.name !== "draining") return;
    this.log(
      "error",
      `generation ${
        this.generation + 1
      } (pid ${pid}) has died, and this process drains: nobody serves until the service is started again`,
    );
    this.#notifier?.lost(() => this.#leaving.cut());
  }

  #request(send: (request: RequestId) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request = ++this.#lastRequest;
      this.#waiting.set(request, { resolve, reject });
      send(request);
    });
  }

  #answer(request: RequestId): Waiting | undefined {
    const waiting = this.#waiting.get(request);
    this.#waiting.delete(request);
    return waiting;
  }

  #duration(timer: TimerName, patient: boolean): number {
    const { upgradeTimeoutMs, probationMs, drainTimeoutMs } = this.#options;
    if (timer === "pause") return Math.min(upgradeTimeoutMs + drainTimeoutMs, MAX_TIMER_MS);
    if (timer === "upgrade") return upgradeTimeoutMs;
    if (timer === "probation") return probationMs;
    return patient ? Math.min(drainTimeoutMs + KILL_GRACE_MS, MAX_TIMER_MS) : KILL_GRACE_MS;
  }

  #run(effect: OuterEffect): void {
    switch (effect.type) {
      case "pause-accepting":
        void this.#sequential.pause();
        break;
      case "release-resources":
        void this.#sequential.release();
        break;
      case "reacquire-resources":
        void this.#sequential.reacquire();
        break;
      case "resume-accepting":
        void this.#sequential.resume();
        break;
      case "spawn":
        void this.#succession?.start(
          this.register,
          {
            generation: this.generation + 1,
            deadlineMs: this.#options.upgradeTimeoutMs,
            probationMs: this.#options.probationMs,
            draining: this.#generations.living(),
            drainTimeoutMs: this.#options.drainTimeoutMs,
            ...(this.offers.names.length === 0 ? {} : { offers: this.offers.names }),
            ...(this.#control?.owned === undefined ? {} : { control: this.#control.owned }),
          },
          this.#options.command,
          this.#runner.variables,
        );
        break;
      case "send-child":
        this.#succession?.send({ type: effect.frame });
        break;
      case "abort-child":
        this.#succession?.abort(effect.reason);
        break;
      case "kill-child":
        this.#succession?.kill(effect.signal);
        break;
      case "release-child":
        this.#succession?.release();
        break;
      case "send-parent":
        this.#parent?.send(effect.frame === "owned" ? { type: "owned" } : this.#readyFrame());
        break;
      case "fail-to-parent":
        this.#parent?.send(failFrame(effect.failure));
        break;
      case "close-inherited":
        this.#closeUnclaimed();
        break;
      case "start-accepting":
        this.#hasAccepted = true;
        void this.#open();
        break;
      case "stop-accepting":
        for (const { listener } of this.register.used) listener?.close();
        this.#control?.leave();
        break;
      case "take-names":
        this.#takeNames();
        break;
      case "reclaim-names":
        this.#reclaimNames();
        break;
      case "leave-names": {
        const taken = this.#succession?.taken ?? new Set();
        const passedOn = new Set(
          this.register.used.flatMap(({ identity, bound }) =>
            bound?.kind === "unix" && taken.has(identity) ? [bound.path] : []
          ),
        );
        this.#names.removePaths((path) => passedOn.has(path));
        break;
      }
      case "remove-names":
        this.#runner.leave();
        try {
          this.#names.remove(this.#succession?.pid);
        } catch (error) {
          this.log("warn", (error as Error).message);
        }
        break;
      case "resolve":
        this.#answer(effect.request)?.resolve(this.#result());
        break;
      case "reject":
        this.#teller.error = toError(effect.failure);
        this.#answer(effect.request)?.reject(this.#teller.error);
        break;
      case "resolve-exit":
        this.#resolveExit(effect.reason);
        break;
      case "dispose":
        this.exclusives.abort();
        for (const { listener } of this.register.used) listener?.finish();
        for (const dispose of this.#disposers.splice(0)) dispose();
        this.#engine.dispose();
        this.#parent?.close();
        break;
      case "emit":
        this.#emit(effect.event);
        break;
    }
  }

  #entered(state: State): void {
    if (state.name !== "starting") this.receiving.end("this process has left its initialisation");
    if (state.name !== "starting") this.#parent?.keepAlive(false);
    if (state.name === "serving") this.#generations.parentDrains(Date.now());
    const { healthCheck } = this.#options;
    if (state.name === "probation" && healthCheck !== undefined) {
      this.#succession?.watch({ ...this.#options, healthCheck });
    }
  }

  #fromParent(frame: Frame): void {
    switch (frame.type) {
      case "chunk":
      case "end":
        this.receiving.heard(frame);
        break;
      case "ask":
        this.#parent?.send({ type: "tell", id: frame.id, status: { ...this.status() } });
        break;
      case "relay":
        this.#relayed(frame.request);
        break;
      case "history":
        this.#confirmed();
        this.#teller.inherit(frame);
        // What an older process tells when this one has been replaced is told on.
        if (this.#engine.state.name === "draining") this.#succession?.send(this.#teller.frame);
        break;
      case "probation":
        this.#engine.dispatch({ type: "parent-probation" });
        break;
      case "commit":
        this.#engine.dispatch({ type: "parent-commit" });
        break;
      case "abort":
        this.#confirmed();
        this.#engine.dispatch({ type: "parent-abort", reason: frame.reason });
        break;
    }
  }

  #garbledParent(error: unknown): void {
    const failure = toFailure(error, "ERR_PROTOCOL");
    this.log("error", failure.message);
    // Once this process is the owner, nothing that a dying parent says can take that away.
    if (this.#engine.state.name !== "starting") return;
    this.#parent?.send(failFrame(failure));
    this.#engine.dispatch({ type: "parent-abort", reason: failure.message });
  }

  #readyFrame(): ReadyFrame {
    return {
      type: "ready",
      pid: this.#backend.pid,
      generation: this.generation,
      runtime: this.#backend.runtime,
      version: this.#backend.version,
      used: this.register.used.map(({ identity }) => identity),
    };
  }

  async #open(): Promise<void> {
    try {
      await this.#checkControl();
      for (const { listener } of this.register.used) await listener?.open();
      this.#engine.dispatch({ type: "opened" });
    } catch (error) {
      this.#engine.dispatch({ type: "open-failed", failure: toFailure(error, "ERR_ADOPT") });
    }
  }

  /** The value with which the request that is being answered resolves. */
  #result(): UpgradeReport | undefined {
    if (this.#engine.state.name !== "draining") return undefined;
    this.#teller.report = this.#succession?.report() ?? null;
    return this.#teller.report ?? undefined;
  }

  /** A control socket that is refused is known before anything is accepted. */
  async #checkControl(): Promise<void> {
    try {
      await this.#control?.check(this.#parent?.hello.control === this.#options.control);
    } catch (error) {
      // Nobody else is left: serving without a control socket beats not serving.
      if (!this.#isOrphan) throw error;
      this.log("error", (error as Error).message);
    }
  }

  /** Started by a parent that is gone, and not the owner yet. */
  get #isOrphan(): boolean {
    const { state } = this.#engine;
    return state.name === "starting" && state.parent === "gone";
  }

  #takeNames(): void {
    const orphan = this.#isOrphan;
    try {
      if (orphan) this.#takeAsOrphan();
      else this.#names.take(this.#parent === undefined);
      this.#runner.take();
      this.#engine.dispatch({ type: "names-taken" });
    } catch (error) {
      const failure = toFailure(error, "ERR_CHILD_FAILED");
      this.#engine.dispatch({ type: "names-failed", failure });
    }
  }

  /** Nobody else is left: serving without a name beats not serving. */
  #takeAsOrphan(): void {
    this.#reclaimNames();
    // The parent removes what nobody serves any more; a dead one cannot.
    for (const { address } of this.register.abandoned) removeSocket(address.slice("unix:".length));
  }

  #closeUnclaimed(): void {
    const close = (fd: number, managed: boolean) => {
      // A count in LISTEN_FDS that is too high names descriptors of the runtime itself.
      if (!managed || this.#backend.isSocket(fd)) this.#backend.closeFd(fd);
    };
    for (const socket of this.register.closeUnclaimed(close)) {
      this.log(
        "warn",
        `nobody claimed ${socket}, which the service manager passed: it is closed here, and nobody answers on it ` +
          `until the service is started again; listen on it by its name or address, or take it out of the unit`,
      );
    }
  }

  #reclaimNames(): void {
    this.#names.takeEach((error) => this.log("error", error.message));
    this.#runner.take();
  }

  #controlSocket(): ControlSocket | undefined {
    const { control } = this.#options;
    return control === undefined ? undefined : new ControlSocket(control, {
      clock: this.#backend.clock,
      caughtUp: () => this.#backend.caughtUp(),
      secure: (fd) => this.#backend.secure(fd, false),
      peerUser: (fd) => this.#backend.peerUser?.(fd),
      warn: (message) => this.log("warn", message),
      actions: {
        status: () => this.status(),
        upgrade: () => this.upgrade({}),
        // Whoever came a moment ago means the newest generation.
        stop: () => this.#relay("stop") || this.stop(),
        metrics: () =>
          metricsText({
            status: this.status(),
            totals: this.#teller.totals.counts,
            bounds: DURATION_BOUNDS,
          }),
      },
    });
  }

  #upgradeSignal(): void {
    // Whoever sends signals may know an old number: the newest generation is meant.
    if (!this.#relay("upgrade")) void this.upgrade({}).catch(() => {});
  }

  #stopSignal(): boolean {
    // A process that has accepted nothing has nothing to finish: it ends at once, also one that was called off.
    if (!this.#hasAccepted) return false;
    this.#stopSignals += 1;
    // A parent that takes everything back says so before it sends the signal, and the two arrive in any order: who stops
    // for the signal alone would remove the names that are the parent's again.
    if (this.#parent?.isHeard && this.#engine.state.name === "serving") {
      void this.#backend.caughtUp().then(() => this.stop());
    } else if (!this.#relay("stop")) this.stop();
    // A second signal means now; so does one to a process that nobody can replace any more.
    if (this.#stopSignals > 1 || this.#isOrphaned) this.#cut(this.#backend.pid);
    return true;
  }

  /** Replaced, by a successor that is gone. */
  get #isOrphaned(): boolean {
    return this.#engine.state.name === "draining" && !(this.#succession?.isHeard ?? false);
  }

  /** Passes a request on to the successor. Over the channel, which says it once, however many ways it takes. */
  #relay(request: "upgrade" | "stop"): boolean {
    if (this.#engine.state.name !== "draining" || this.#isOrphaned) return false;
    this.#succession?.send({ type: "relay", request });
    return true;
  }

  /** A request that reached an older generation. */
  #relayed(request: "upgrade" | "stop"): void {
    if (this.#relay(request)) return;
    if (request === "stop") this.stop();
    else void this.upgrade({}).catch(() => {});
  }

  #emit(event: LifecycleEvent): void {
    this.#teller.emit(event);
    if (event === "ready") this.#hasOwned = true;
    if (this.#hasOwned && (event === "upgraded" || event === "stopping")) {
      this.#parent?.send({ type: "left" });
    }
    const { name } = this.#engine.state;
    if (name === "draining" || name === "exited") this.#succession?.send(this.#teller.frame);
  }
}

/** The `fail` frame that tells a failure. */
export function failFrame(failure: Failure): Frame {
  return { type: "fail", message: tail(failure.message), stack: tail(failure.childOutput ?? "") };
}
