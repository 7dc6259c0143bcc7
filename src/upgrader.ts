/**
 * The facade that users hold: wires machine, sockets and backend together.
 *
 * @module
 */

import { channel } from "node:diagnostics_channel";
import process from "node:process";
import {
  type AddressInput,
  formatAddress,
  identityOf,
  parseAddress,
  parseBoundAddress,
} from "./address.ts";
import type { Backend, Disposer, Listener, Runtime, StartServer } from "./backend/backend.ts";
import { loadBackend } from "./backend/load.ts";
import { Child, reportedFailure, toError, toFailure } from "./child.ts";
import { resolveCommand } from "./command.ts";
import {
  type Drainable,
  type DrainPlan,
  type DrainReport,
  runDrain,
  type RunningDrain,
  watch,
} from "./drain/drain.ts";
import { Engine, type OuterEffect } from "./engine.ts";
import { UpgradeError } from "./errors.ts";
import {
  type Failure,
  initialState,
  type LifecycleEvent,
  type RequestId,
  type State,
  type TimerName,
} from "./machine.ts";
import { Names, removeFile } from "./names.ts";
import {
  checkCommandOptions,
  checkInteger,
  checkKeys,
  type CommandOptions,
  MAX_TIMER_MS,
  type ResolvedOptions,
  resolveOptions,
  type UpgraderOptions,
} from "./options.ts";
import { Parent, readInvitation } from "./parent.ts";
import { checkPidFile } from "./pid_file.ts";
import {
  type DrainingGeneration,
  ENV_NAME,
  formatInvitation,
  type Frame,
  type ReadyFrame,
  tail,
} from "./protocol.ts";
import type { UpgradeReport, UpgraderEventDetail, UpgraderStatus } from "./report.ts";
import { installSignals } from "./signals.ts";
import { type SocketAddress, SocketRegister } from "./sockets.ts";

// How long a process that was asked to go may take before it is killed.
const KILL_GRACE_MS = 2_000;

/** One run of `upgrade()`. */
interface Attempt {
  readonly overrides: CommandOptions;
  readonly began: number;
  child?: Child;
  spawnedMs: number;
  readyMs: number;
  ready?: ReadyFrame;
  sockets: number;
  over: boolean;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Raw descriptors that travel with the upgrades; see {@linkcode Upgrader.fds}. */
export interface Descriptors {
  /**
   * Passes a descriptor on at every upgrade. The caller keeps it open and closes it; close-on-exec is set.
   *
   * @param name Under which the next generation takes it.
   * @param fd A descriptor of this process: file, pipe, connection.
   * @throws {UpgradeError} `ERR_ADDRESS` when the name or the descriptor is in use, or it is not open.
   */
  add(name: string, fd: number): void;
  /**
   * Takes an inherited descriptor; it is the caller's from now on, and is passed on at the next upgrade again.
   *
   * @param name Under which the parent added it.
   * @returns The descriptor, or `undefined` when none was passed under that name.
   */
  take(name: string): number | undefined;
  /** Names of the inherited descriptors that nobody has taken; those left at `ready()` are closed. */
  names(): string[];
}

const RAW = "fd:";

// One upgrader per process, also when two copies of this library are loaded.
const created: WeakSet<object> =
  ((globalThis as Record<symbol, unknown>)[Symbol.for("changeover.created")] ??=
    new WeakSet()) as WeakSet<object>;

/**
 * Replaces the running process by a newer one without losing a request.
 *
 * One per process. Generation 1 binds its sockets; every later one inherits them from its parent. Events
 * ({@linkcode UpgraderEventDetail} as `detail`) go out on this `EventTarget` and on `node:diagnostics_channel` under
 * `changeover:<event>`.
 *
 * @example A server that replaces itself on SIGHUP
 * ```ts no-eval
 * import { createServer } from "node:http";
 * import { Upgrader } from "@changeover/changeover";
 *
 * const upgrader = await Upgrader.create({ pidFile: "/run/app.pid" });
 * await upgrader.listen({ port: 8080 }, createServer((_request, response) => response.end("hello\n")));
 * await upgrader.ready();
 * console.log(await upgrader.exit);
 * await upgrader.drain();
 * ```
 */
export class Upgrader extends EventTarget {
  readonly #backend: Backend;
  readonly #options: ResolvedOptions;
  readonly #parent: Parent | undefined;
  readonly #engine: Engine;
  readonly #register: SocketRegister;
  readonly #names: Names;
  readonly #drainables: Drainable[] = [];
  readonly #waiting = new Map<RequestId, Waiting>();
  readonly #disposers: Disposer[] = [];
  readonly #exit: Promise<"upgraded" | "stopped">;
  #resolveExit!: (reason: "upgraded" | "stopped") => void;
  readonly #parentGone: Promise<void>;
  #resolveParentGone!: () => void;
  #draining: DrainingGeneration[];
  #lastRequest = 0;
  #attempt: Attempt | undefined;
  #lastReport: UpgradeReport | null = null;
  #lastError: UpgradeError | undefined;
  #drain: RunningDrain | undefined;
  #drainReport: DrainReport | undefined;
  #stopSignals = 0;
  #hasAccepted = false;

  /** Which process in the chain this is; the first is 1. */
  readonly generation: number;

  /** Not for users: {@linkcode Upgrader.create} makes it. */
  private constructor(backend: Backend, options: ResolvedOptions, parent: Parent | undefined) {
    super();
    this.#backend = backend;
    this.#options = options;
    this.#parent = parent;
    const hello = parent?.hello;
    this.generation = hello?.generation ?? 1;
    this.#register = new SocketRegister(hello?.sockets);
    this.#names = new Names(options.pidFile, backend.pid);
    this.#draining = hello === undefined
      ? []
      : [...hello.draining, { pid: hello.pid, generation: hello.generation - 1 }];
    this.#exit = new Promise((resolve) => this.#resolveExit = resolve);
    this.#parentGone = new Promise((resolve) => this.#resolveParentGone = resolve);
    if (parent === undefined) this.#resolveParentGone();
    this.#engine = new Engine(initialState(parent !== undefined), {
      clock: backend.clock,
      duration: (timer, patient) => this.#duration(timer, patient),
      run: (effect) => this.#run(effect),
      entered: (state) => this.#entered(state),
    });
    parent?.observe({
      frame: (frame) => this.#fromParent(frame),
      garbled: (error) => this.#garbledParent(error),
      gone: () => {
        this.#draining = this.#draining.filter(({ pid }) => pid !== parent.hello.pid);
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
      upgrade: () => void this.upgrade().catch(() => {}),
      stop: () => this.#stopSignal(),
    }));
  }

  /**
   * Makes the upgrader of this process; the child of an upgrade learns here what it inherits.
   *
   * @param options See {@linkcode UpgraderOptions}.
   * @returns The upgrader.
   * @throws {TypeError} For an option that is unknown or of the wrong type.
   * @throws {RangeError} For an option out of its bounds.
   * @throws {UpgradeError} `ERR_ALREADY_CREATED`, `ERR_UNSUPPORTED`, `ERR_PROTOCOL`
   */
  static async create(options: UpgraderOptions = {}): Promise<Upgrader> {
    const owner = options?.backend ?? process;
    if (created.has(owner)) {
      throw new UpgradeError(
        "ERR_ALREADY_CREATED",
        "Cannot create a second upgrader: a process has one; share the first",
      );
    }
    created.add(owner);
    let parent: Parent | undefined;
    try {
      // The parent first: it is to learn what is wrong with the options of its child.
      const backend = options?.backend ?? await loadBackend();
      const warnings: string[] = [];
      const invitation = readInvitation(backend, (message) => warnings.push(message));
      if (invitation !== undefined) {
        parent = await Parent.join(backend, invitation);
        if (parent === undefined) {
          warnings.push("the parent died before it said what it passed; starting as generation 1");
        }
      }
      const resolved = resolveOptions(options);
      const pidFile = resolved.pidFile === undefined
        ? undefined
        : checkPidFile(resolved.pidFile, { cwd: backend.facts.cwd });
      const upgrader = new Upgrader(backend, { ...resolved, pidFile }, parent);
      for (const message of warnings) upgrader.#log("warn", message);
      return upgrader;
    } catch (error) {
      created.delete(owner);
      parent?.send(failFrame(toFailure(error, "ERR_CHILD_FAILED")));
      parent?.close();
      throw error;
    }
  }

  /** Whether this process replaces another one. */
  get hasParent(): boolean {
    return this.#parent !== undefined;
  }

  /** The runtime of this process. */
  get runtime(): Runtime {
    return this.#backend.runtime;
  }

  /** Resolves when this process should leave: a successor has taken over, or `stop()` was called. */
  get exit(): Promise<"upgraded" | "stopped"> {
    return this.#exit;
  }

  /** Where the used sockets are bound, in the order of `listen`. */
  get addresses(): readonly SocketAddress[] {
    return this.#register.addresses;
  }

  /** Raw descriptors: files, pipes, established connections. */
  readonly fds: Descriptors = {
    add: (name, fd) => this.#addDescriptor(name, fd),
    take: (name) => this.#takeDescriptor(name),
    names: () => this.#register.unclaimed("raw").map((identity) => identity.slice(RAW.length)),
  };

  /**
   * Makes a server listen: on the socket that the parent passed for this address, else on a new one.
   *
   * An inherited socket accepts from `ready()` on; what arrives earlier waits in the kernel's queue or is served by
   * the parent.
   *
   * @param address Where; its `name`, or else its canonical form, identifies the socket across generations.
   * @param server A server with `listen(options)` and `close()`, or a function that starts one at `at` and returns it.
   * @returns The server.
   * @throws {TypeError} When the arguments are of the wrong type.
   * @throws {UpgradeError} `ERR_ADDRESS` when the address cannot be used, `ERR_ADOPT` when the server cannot use the
   * inherited socket; the upgrade fails then and the parent goes on.
   */
  async listen<S>(
    address: AddressInput,
    server: S | ((...at: Parameters<StartServer>) => S | Promise<S>),
  ): Promise<S> {
    const target = parseAddress(address);
    const isServer = typeof (server as { listen?: unknown } | null)?.listen === "function";
    if (!isServer && typeof server !== "function") {
      throw new TypeError(
        "Cannot listen: expected a server with listen() and close(), or a function that starts one and returns it",
      );
    }
    if (isServer && typeof (server as { close?: unknown }).close !== "function") {
      throw new TypeError(
        "Cannot listen: this has listen() but no close(), like an Express application; pass http.createServer(app)",
      );
    }
    this.#mayListen();
    const identity = identityOf(target);
    const inherited = this.#register.claim(identity, target.kind);
    let listener: Listener;
    try {
      const listenTarget = inherited === undefined ? { address: target } : {
        address: target,
        inherited: { fd: inherited.fd, bound: parseBoundAddress(inherited.address) },
      };
      listener = isServer
        ? await this.#backend.listen(server, listenTarget)
        : await this.#backend.start(server as StartServer, listenTarget);
    } catch (error) {
      this.#register.release(identity);
      if (inherited !== undefined) {
        this.#backend.closeFd(inherited.fd);
        this.#parent?.send(failFrame(toFailure(error, "ERR_ADOPT")));
      }
      throw error;
    }
    const { bound } = listener;
    this.#register.use({
      identity,
      kind: target.kind,
      fd: () => listener.fd,
      address: formatAddress(bound),
      listener,
      bound,
    });
    if (bound.kind === "unix") this.#names.addPath(bound.path);
    const drainable = watch(listener.server);
    if (drainable !== undefined) this.#drainables.push(drainable);
    // Stopped or called off meanwhile: nobody else would close it.
    if (this.#isLeaving()) listener.close();
    else if (this.#engine.state.name !== "starting") await listener.open();
    return (isServer ? server : listener.server) as S;
  }

  /**
   * Says that this process has all that it needs: it accepts, and the parent may leave.
   *
   * @returns When the parent has acknowledged; at once in generation 1.
   * @throws {UpgradeError} `ERR_ABORTED` when the parent has called the upgrade off, `ERR_ADOPT` when a server cannot
   * take its socket, `ERR_STOPPED`, `ERR_NOT_READY` on a second call.
   */
  async ready(): Promise<void> {
    await this.#request((request) => this.#engine.dispatch({ type: "ready-called", request }));
  }

  /**
   * Starts the next generation and hands over to it.
   *
   * @param options `command`, `env` and `cwd` for this upgrade only.
   * @returns How it went, once the successor is the owner; this process then drains and leaves.
   * @throws {UpgradeError} With a `code` that tells why; this process then goes on as if nothing had happened.
   */
  async upgrade(options: CommandOptions = {}): Promise<UpgradeReport> {
    checkKeys(options, ["command", "env", "cwd"], "the options of upgrade()");
    const overrides = checkCommandOptions(options);
    const { probationMs, maxDraining } = this.#options;
    try {
      return await this.#request((request) => {
        if (this.#engine.state.name === "serving") {
          this.#attempt = {
            overrides,
            began: this.#backend.clock.now(),
            spawnedMs: 0,
            readyMs: 0,
            sockets: 0,
            over: false,
          };
        }
        this.#engine.dispatch({
          type: "upgrade-requested",
          request,
          probation: probationMs > 0,
          draining: this.#livingDraining().length,
          maxDraining,
        });
      }) as UpgradeReport;
    } catch (error) {
      // Whoever sent a signal has nobody else to tell it.
      this.#log("error", (error as Error).message);
      throw error;
    }
  }

  /** Leaves without a successor: interrupts a running upgrade and resolves `exit` with `"stopped"`. */
  stop(): void {
    this.#engine.dispatch({ type: "stop-called" });
  }

  /**
   * Lets the open connections finish; to be called after `exit`.
   *
   * @param options `timeoutMs`: how long at most. Default: the option `drainTimeoutMs`.
   * @returns What became of the connections. Nothing of the library keeps the process alive afterwards.
   * @throws {UpgradeError} `ERR_NOT_READY` while this process still serves.
   */
  async drain(options: { readonly timeoutMs?: number } = {}): Promise<DrainReport> {
    checkKeys(options, ["timeoutMs"], "the options of drain()");
    const { drainTimeoutMs, drainSpreadMs, idleGraceMs } = this.#options;
    const timeoutMs = checkInteger("timeoutMs", options.timeoutMs, drainTimeoutMs, 0, MAX_TIMER_MS);
    if (!this.#isLeaving()) {
      throw new UpgradeError(
        "ERR_NOT_READY",
        "Cannot drain: the process still serves; await exit first",
      );
    }
    if (this.#drain === undefined) {
      const plan: DrainPlan = { timeoutMs, spreadMs: drainSpreadMs, idleGraceMs };
      this.#drain = runDrain(this.#drainables, plan, this.#backend.clock);
      this.#drain.report.then((report) => {
        this.#drainReport = report;
        if (report.cut > 0) {
          this.#log(
            "warn",
            `generation ${this.generation} cut ${report.cut} connections at the end of its time`,
          );
        }
        this.#engine.dispatch({ type: "drained" });
      });
    }
    return await this.#drain.report;
  }

  /**
   * Waits until the parent process is gone.
   *
   * @param options `signal` gives up waiting.
   * @returns At once when there is no parent.
   * @throws The reason of the signal.
   */
  async waitForParent(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (signal === undefined) return await this.#parentGone;
    let giveUp!: () => void;
    const aborted = new Promise<never>((_resolve, reject) => {
      giveUp = () => reject(signal.reason);
      signal.addEventListener("abort", giveUp, { once: true });
    });
    try {
      await Promise.race([this.#parentGone, aborted]);
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  /** What this process knows about itself, as plain JSON. */
  status(): UpgraderStatus {
    return {
      generation: this.generation,
      pid: this.#backend.pid,
      runtime: this.#backend.runtime,
      version: this.#backend.version,
      state: this.#engine.state.name,
      sockets: this.#register.addresses,
      connections: this.#drainables.reduce((sum, drainable) => sum + drainable.connections(), 0),
      draining: this.#livingDraining(),
      lastReport: this.#lastReport,
    };
  }

  #isLeaving(): boolean {
    return ["draining", "stopping", "exited"].includes(this.#engine.state.name);
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

  #livingDraining(): DrainingGeneration[] {
    this.#draining = this.#draining.filter(({ pid }) => this.#backend.isAlive(pid));
    // Until it has committed, the parent is the owner and drains nothing.
    return this.#engine.state.name === "starting"
      ? this.#draining.slice(0, -1)
      : [...this.#draining];
  }

  #addDescriptor(name: string, fd: number): void {
    checkDescriptorName(name);
    if (!Number.isInteger(fd) || fd < 0) {
      throw new TypeError(`Cannot add "${name}": ${String(fd)} is not a file descriptor`);
    }
    if (this.#register.used.some((socket) => socket.fd() === fd)) {
      throw new UpgradeError(
        "ERR_ADDRESS",
        `Cannot add "${name}": descriptor ${fd} is passed on already`,
      );
    }
    if (!this.#backend.secure(fd, false)) {
      throw new UpgradeError("ERR_ADDRESS", `Cannot add "${name}": descriptor ${fd} is not open`);
    }
    const identity = RAW + name;
    // A name that was inherited and not taken stays closed in favour of the new one.
    const inherited = this.#register.claim(identity, "raw");
    if (inherited !== undefined) this.#backend.closeFd(inherited.fd);
    this.#register.use({ identity, kind: "raw", fd: () => fd, address: "" });
  }

  #takeDescriptor(name: string): number | undefined {
    checkDescriptorName(name);
    const identity = RAW + name;
    if (!this.#register.unclaimed("raw").includes(identity)) return undefined;
    const entry = this.#register.claim(identity, "raw");
    if (entry === undefined) return undefined;
    this.#register.use({ identity, kind: "raw", fd: () => entry.fd, address: "" });
    return entry.fd;
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
    if (timer === "upgrade") return upgradeTimeoutMs;
    if (timer === "probation") return probationMs;
    return patient ? Math.min(drainTimeoutMs + KILL_GRACE_MS, MAX_TIMER_MS) : KILL_GRACE_MS;
  }

  #run(effect: OuterEffect): void {
    switch (effect.type) {
      case "spawn":
        if (this.#attempt !== undefined) void this.#spawn(this.#attempt);
        break;
      case "send-child":
        this.#attempt?.child?.send({ type: effect.frame });
        break;
      case "abort-child":
        this.#attempt?.child?.send({ type: "abort", reason: tail(effect.reason) });
        break;
      case "kill-child":
        this.#attempt?.child?.kill(effect.signal);
        break;
      case "release-child":
        if (this.#attempt !== undefined) this.#attempt.over = true;
        this.#attempt?.child?.release();
        break;
      case "send-parent":
        this.#parent?.send(effect.frame === "owned" ? { type: "owned" } : this.#readyFrame());
        break;
      case "fail-to-parent":
        this.#parent?.send(failFrame(effect.failure));
        break;
      case "close-inherited":
        this.#register.closeUnclaimed((fd) => this.#backend.closeFd(fd));
        break;
      case "start-accepting":
        this.#hasAccepted = true;
        void this.#open();
        break;
      case "stop-accepting":
        for (const { listener } of this.#register.used) listener?.close();
        break;
      case "take-names":
        this.#takeNames();
        break;
      case "reclaim-names":
        this.#reclaimNames();
        break;
      case "leave-names": {
        const taken = new Set(this.#attempt?.ready?.used);
        const passedOn = new Set(
          this.#register.used.flatMap(({ identity, bound }) =>
            bound?.kind === "unix" && taken.has(identity) ? [bound.path] : []
          ),
        );
        this.#names.removePaths((path) => passedOn.has(path));
        break;
      }
      case "remove-names":
        this.#names.remove();
        break;
      case "resolve":
        this.#answer(effect.request)?.resolve(this.#result());
        break;
      case "reject":
        this.#lastError = toError(effect.failure);
        this.#answer(effect.request)?.reject(this.#lastError);
        break;
      case "resolve-exit":
        this.#resolveExit(effect.reason);
        break;
      case "dispose":
        for (const { listener } of this.#register.used) listener?.finish();
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
    if (state.name !== "starting") this.#parent?.keepAlive(false);
  }

  async #spawn(attempt: Attempt): Promise<void> {
    try {
      const backend = this.#backend;
      const { overrides } = attempt;
      const { command, cwd, env } = await resolveCommand(this.#options.command, {
        facts: backend.facts,
        once: overrides,
        environment: backend.env,
      });
      if (attempt.over || this.#isLeaving()) {
        this.#engine.dispatch({
          type: "spawn-failed",
          failure: { code: "ERR_ABORTED", message: "Too late" },
        });
        return;
      }
      const { entries, fds } = this.#register.passOn();
      attempt.sockets = entries.length;
      const request = {
        command,
        cwd,
        env: { ...env, [ENV_NAME]: formatInvitation(backend.pid) },
        fds,
      };
      attempt.child = await Child.start(backend, request, {
        type: "hello",
        v: 1,
        generation: this.generation + 1,
        pid: backend.pid,
        runtime: backend.runtime,
        sockets: entries,
        deadlineMs: this.#options.upgradeTimeoutMs,
        probationMs: this.#options.probationMs,
        draining: this.#livingDraining(),
      }, {
        frame: (frame) => this.#fromChild(attempt, frame),
        failed: (failure) => this.#engine.dispatch({ type: "child-failed", failure }),
        exited: (failure) => this.#engine.dispatch({ type: "child-exited", failure }),
      });
      attempt.spawnedMs = this.#backend.clock.now() - attempt.began;
      this.#engine.dispatch({ type: "spawned" });
    } catch (error) {
      this.#engine.dispatch({ type: "spawn-failed", failure: toFailure(error, "ERR_SPAWN") });
    }
  }

  #fromChild(attempt: Attempt, frame: Frame): void {
    switch (frame.type) {
      case "ready":
        attempt.ready = frame;
        attempt.readyMs = this.#backend.clock.now() - attempt.began;
        this.#engine.dispatch({ type: "child-ready" });
        break;
      case "fail":
        this.#engine.dispatch({
          type: "child-failed",
          failure: reportedFailure(frame.message, frame.stack),
        });
        break;
      case "owned":
        this.#engine.dispatch({ type: "commit-acked" });
        break;
    }
  }

  #fromParent(frame: Frame): void {
    switch (frame.type) {
      case "probation":
        this.#engine.dispatch({ type: "parent-probation" });
        break;
      case "commit":
        this.#engine.dispatch({ type: "parent-commit" });
        break;
      case "abort":
        this.#engine.dispatch({ type: "parent-abort", reason: frame.reason });
        break;
    }
  }

  #garbledParent(error: unknown): void {
    const failure = toFailure(error, "ERR_PROTOCOL");
    this.#log("error", failure.message);
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
      used: this.#register.used.map(({ identity }) => identity),
    };
  }

  async #open(): Promise<void> {
    try {
      for (const { listener } of this.#register.used) await listener?.open();
      this.#engine.dispatch({ type: "opened" });
    } catch (error) {
      this.#engine.dispatch({ type: "open-failed", failure: toFailure(error, "ERR_ADOPT") });
    }
  }

  #takeNames(): void {
    const { state } = this.#engine;
    const orphan = state.name === "starting" && state.parent === "gone";
    try {
      this.#names.take();
      // The parent removes what nobody serves any more; a dead one cannot.
      if (orphan) {
        for (const { address } of this.#register.abandoned) {
          removeFile(address.slice("unix:".length));
        }
      }
      this.#engine.dispatch({ type: "names-taken" });
    } catch (error) {
      const failure = toFailure(error, "ERR_CHILD_FAILED");
      if (orphan) this.#log("error", failure.message);
      this.#engine.dispatch({ type: "names-failed", failure });
    }
  }

  #reclaimNames(): void {
    try {
      this.#names.take();
    } catch (error) {
      this.#log("error", (error as Error).message);
    }
  }

  /** The value with which the request that is being answered resolves. */
  #result(): UpgradeReport | undefined {
    const attempt = this.#attempt;
    if (this.#engine.state.name !== "draining" || attempt?.ready === undefined) return undefined;
    const ownedMs = this.#backend.clock.now() - attempt.began;
    const { generation, pid, runtime, version } = attempt.ready;
    this.#lastReport = {
      generation,
      pid,
      runtime,
      version,
      sockets: attempt.sockets,
      durationMs: ownedMs,
      steps: { spawnedMs: attempt.spawnedMs, readyMs: attempt.readyMs, ownedMs },
    };
    return this.#lastReport;
  }

  #stopSignal(): boolean {
    // A process that has accepted nothing has nothing to finish: it ends at once, also one that was called off.
    if (!this.#hasAccepted) return false;
    this.#stopSignals += 1;
    this.stop();
    // A second signal means now.
    if (this.#stopSignals > 1) this.#drain?.cutNow();
    return true;
  }

  #emit(event: LifecycleEvent): void {
    const report = this.#lastReport;
    if (event === "upgraded" && report !== null) {
      const { generation, pid, runtime, version, durationMs } = report;
      this.#log(
        "info",
        `upgraded: generation ${generation} (pid ${pid}, ${runtime} ${version}) took over after ${
          Math.round(durationMs)
        } ms`,
      );
    } else if (event === "stopping") this.#log("info", `generation ${this.generation} stops`);
    const detail: UpgraderEventDetail = {
      event,
      generation: this.generation,
      pid: this.#backend.pid,
      ...(event === "upgraded" && report !== null ? { report } : {}),
      ...(event === "upgrade-failed" && this.#lastError !== undefined
        ? { error: this.#lastError }
        : {}),
      ...(event === "drained" && this.#drainReport !== undefined
        ? { drain: this.#drainReport }
        : {}),
    };
    this.dispatchEvent(new CustomEvent(event, { detail }));
    const told = channel(`changeover:${event}`);
    if (told.hasSubscribers) told.publish(detail);
  }

  #log(level: "info" | "warn" | "error", message: string): void {
    try {
      this.#options.logger[level](message);
    } catch {
      // A broken logger must not break an upgrade.
    }
  }
}

function failFrame(failure: Failure): Frame {
  return { type: "fail", message: tail(failure.message), stack: tail(failure.childOutput ?? "") };
}

function checkDescriptorName(name: string): void {
  if (typeof name !== "string" || name === "" || name.length > 255) {
    throw new TypeError(
      "Cannot use the name of a descriptor: expected a string of 1 to 255 characters",
    );
  }
}
