/**
 * A runtime and an operating system in memory, which tests turn by hand.
 *
 * @module
 */

import { constants } from "node:os";
import hostProcess from "node:process";
import { type BoundAddress, formatAddress, parseBoundAddress } from "../address.ts";
import type {
  Backend,
  Channel,
  Clock,
  Disposer,
  ExitStatus,
  ListenAt,
  Listener,
  ListenTarget,
  RunRequest,
  Runtime,
  SpawnedProcess,
  SpawnRequest,
  StartServer,
} from "../backend/backend.ts";
import type { ProcessFacts } from "../command.ts";
import { below, fileProbes, findProgram } from "../command_files.ts";
import { UpgradeError } from "../errors.ts";
import { CHANNEL_FD, FIRST_SOCKET_FD } from "../protocol.ts";
import { FakeChannel } from "./channel.ts";
import { FakeChild } from "./child.ts";
import { type FakeClock, settle } from "./clock.ts";
import { type FakeProcess, FakeSystem } from "./system.ts";

/** Options of {@linkcode fakeBackend}. */
export interface FakeBackendOptions {
  /** What the backend says that it is. @default {"node"} */
  readonly runtime?: Runtime;
  /** Process id. @default {one that is free} */
  readonly pid?: number;
  /** The environment. @default {{ PATH: "/usr/bin:/bin" }} */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The working directory; a child has the one that it was started in. @default {that of the test} */
  readonly cwd?: string;
  /**
   * Called for each child in the tick in which it is started, to tell it how to behave; what it throws is why the child
   * could not be started.
   */
  readonly onSpawn?: (child: FakeChild) => void;
  /** Called before a server is made to listen; what it throws or rejects is why it could not. */
  readonly onListen?: (target: ListenTarget) => void | Promise<void>;
  /** Called before a listener begins to accept; what it throws or rejects is why it could not. */
  readonly onOpen?: (listener: FakeListener) => void | Promise<void>;
}

/** A listener of a fake backend, as a test sees it. */
export interface FakeListener {
  /** Where it is bound: `"127.0.0.1:8080"` or `"unix:/run/app.sock"`. */
  readonly address: string;
  /** Its descriptor. */
  readonly fd: number;
  /** Whether the socket was inherited. */
  readonly inherited: boolean;
  /** Whether it accepts. */
  readonly state: "paused" | "open" | "closed";
  /** Whether the server itself was ended. */
  readonly finished: boolean;
}

/** One process in memory: the backend for the upgrader under test, and everything around it. */
export interface Fake {
  /** For the option `backend` of `Upgrader.create`; one upgrader each. */
  readonly backend: Backend;
  /** Time, for all processes of this test. */
  readonly clock: FakeClock;
  /** Process id. */
  readonly pid: number;
  /** The children that it has started, in order. */
  readonly children: readonly FakeChild[];
  /** What was made to listen, in order. */
  readonly listeners: readonly FakeListener[];
  /** Each open descriptor but the standard streams, such as `"3 tcp 127.0.0.1:8080"`. */
  readonly descriptors: readonly string[];
  /** What would keep the process alive now; empty when it would end by itself. */
  readonly keptAliveBy: readonly string[];
  /** The signals that have a handler. */
  readonly handledSignals: readonly string[];
  /** The signals that it was sent, in order. */
  readonly signals: readonly string[];
  /** What a service manager was told, in order. */
  readonly notified: readonly string[];
  /** The programs that were run to their end. */
  readonly ran: readonly (readonly string[])[];
  /** Whether it would end with an exit code that means failure. */
  readonly fails: boolean;
  /** How the process ended; `undefined` while it lives. */
  readonly status: ExitStatus | undefined;
  /** Opens a file. @returns Its descriptor. */
  openFile(name: string): number;
  /** Opens a listening socket, as a service manager does for a process. @returns Its descriptor. */
  openSocket(address: BoundAddress): number;
  /** Starts a process that has nothing to do with this one. @returns Its process id. */
  addProcess(pid?: number): number;
  /** Ends any process by its id. @returns When everybody has reacted. */
  endProcess(pid: number): Promise<void>;
  /** Sends a signal to this process. @returns When everybody has reacted. */
  raise(signal: string): Promise<void>;
  /** Lets an error end this process. @returns When everybody has reacted. */
  crash(error: unknown): Promise<void>;
  /** The next child that is started. @returns When it has been greeted. */
  child(): Promise<FakeChild>;
  /** Waits until everything has happened that needs no time. */
  settle(): Promise<void>;
}

class MemoryListener implements Listener, FakeListener {
  readonly server: unknown;
  readonly fd: number;
  readonly bound: BoundAddress;
  readonly inherited: boolean;
  state: "paused" | "open" | "closed" = "paused";
  finished = false;
  readonly #host: FakeHost;

  constructor(
    host: FakeHost,
    server: unknown,
    at: { readonly fd: number; readonly bound: BoundAddress; readonly inherited: boolean },
  ) {
    this.#host = host;
    this.server = server;
    this.fd = at.fd;
    this.bound = at.bound;
    this.inherited = at.inherited;
  }

  get address(): string {
    return formatAddress(this.bound);
  }

  async open(): Promise<void> {
    await this.#host.options.onOpen?.(this);
    if (this.state === "paused") this.state = "open";
  }

  // deno-lint-ignore require-await -- a refusal is to be a rejection
  async pause(): Promise<void> {
    if (this.state === "open") this.state = "paused";
  }

  close(): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.#host.process.descriptors.close(this.fd);
  }

  finish(): void {
    this.finished = true;
  }
}

/** The implementation of {@linkcode Fake} and of its backend. */
export class FakeHost implements Fake, Backend {
  readonly process: FakeProcess;
  readonly options: FakeBackendOptions;
  readonly runtime: Runtime;
  readonly version = "1.2.3";
  readonly facts: ProcessFacts;
  readonly children: FakeChild[] = [];
  readonly listeners: MemoryListener[] = [];
  readonly notified: string[] = [];
  readonly ran: string[][] = [];
  fails = false;
  readonly #fatal = new Set<(error: unknown) => void>();
  readonly #holds: (() => string | undefined)[] = [];
  readonly #channel: FakeChannel | undefined;
  #greeted = 0;

  constructor(process: FakeProcess, options: FakeBackendOptions, channel?: FakeChannel) {
    this.process = process;
    this.options = options;
    this.runtime = options.runtime ?? "node";
    this.#channel = channel;
    // A program that is there, and a script that nobody looks for.
    const program = hostProcess.execPath;
    const cwd = options.cwd ?? hostProcess.cwd();
    this.facts = {
      cmdline: [program, "server"],
      argv0: program,
      program,
      execArgv: [],
      execArgvComplete: true,
      argv: [program, `${cwd}/server`],
      cwd,
      realCwd: cwd,
    };
  }

  get backend(): Backend {
    return this;
  }

  get clock(): Clock & FakeClock {
    const { clock } = this.process.system;
    return {
      ...this.process.clock,
      advance: (ms) => clock.advance(ms),
      get pending() {
        return clock.pending;
      },
    };
  }

  get pid(): number {
    return this.process.pid;
  }

  get env(): Record<string, string | undefined> {
    return this.process.env;
  }

  get descriptors(): string[] {
    return this.process.descriptors.list();
  }

  get handledSignals(): string[] {
    return [...this.process.handlers].filter(([, set]) => set.size > 0).map(([name]) => name);
  }

  get signals(): readonly string[] {
    return this.process.signals;
  }

  get status(): ExitStatus | undefined {
    return this.process.status;
  }

  get keptAliveBy(): string[] {
    return [
      ...this.listeners.filter(({ state }) => state !== "closed").map(({ address }) => address),
      ...this.#holds.flatMap((hold) => hold() ?? []),
    ];
  }

  // For tests.

  openSocket(address: BoundAddress): number {
    return this.process.descriptors.open(this.process.system.bind(address).file);
  }

  openFile(name: string): number {
    return this.process.descriptors.open({ kind: "file", what: name, references: 0 });
  }

  addProcess(pid?: number): number {
    return this.process.system.add({}, undefined, pid).pid;
  }

  async endProcess(pid: number): Promise<void> {
    this.process.system.processes.get(pid)?.end({ code: 0, signal: null });
    await settle();
  }

  async raise(signal: string): Promise<void> {
    this.process.take(signal);
    await settle();
  }

  async crash(error: unknown): Promise<void> {
    for (const handler of [...this.#fatal]) handler(error);
    this.process.end({ code: 1, signal: null });
    await settle();
  }

  async child(): Promise<FakeChild> {
    // A function that says what to start may take its time, but not the clock's.
    for (let turn = 0; turn < 1000; turn += 1) {
      const next = this.children[this.#greeted];
      if (next !== undefined && next.frames.length > 0) {
        this.#greeted += 1;
        return next;
      }
      await settle();
    }
    throw new Error("Cannot wait for a child: none was started");
  }

  settle(): Promise<void> {
    return settle();
  }

  // For the upgrader.

  parentPid(): number {
    return this.process.parentPid;
  }

  isAlive(pid: number): boolean {
    return this.process.system.processes.get(pid)?.isAlive ?? false;
  }

  startedAt(pid: number): string | undefined {
    return this.isAlive(pid) ? this.process.system.processes.get(pid)?.started : undefined;
  }

  kill(pid: number, signal: string): boolean {
    if (!this.isAlive(pid)) return false;
    this.process.system.processes.get(pid)?.take(signal);
    return true;
  }

  async spawn(request: SpawnRequest): Promise<SpawnedProcess> {
    await Promise.resolve();
    const [file = ""] = request.command;
    const refuse = (why: string) =>
      new UpgradeError("ERR_SPAWN", `Cannot start ${JSON.stringify(file)}: ${why}`);
    const { cwd, env } = request;
    const folder = fileProbes.problem(cwd, "folder");
    if (folder !== undefined) {
      throw refuse(`its working directory ${JSON.stringify(cwd)} ${folder}`);
    }
    if (findProgram(file, { path: env["PATH"], cwd, probes: fileProbes }) === undefined) {
      const there = file.includes("/") && fileProbes.identity(below(cwd, file)) !== undefined;
      throw refuse(there ? "it may not be executed" : "there is no such file");
    }
    const files = request.fds.map((fd) => {
      const open = this.process.descriptors.get(fd);
      if (open === undefined) throw refuse(`descriptor ${fd} is not open`);
      return open;
    });

    const process = this.process.system.add(request.env, this.process);
    const [ours, theirs] = FakeChannel.pair();
    const { descriptors } = process;
    holdChannel(process, theirs, CHANNEL_FD);
    files.forEach((open, index) => descriptors.open(open, FIRST_SOCKET_FD + index));
    // The host of a child that runs an upgrader of its own.
    const host = new FakeHost(process, { ...this.options, cwd }, theirs);
    const child = new FakeChild({ process, request, channels: { ours, theirs }, fake: host });
    try {
      this.options.onSpawn?.(child);
    } catch (error) {
      process.end({ code: 127, signal: null });
      throw error;
    }
    holdChannel(this.process, ours);
    this.children.push(child);

    let keepsAlive = true;
    this.#holds.push(
      () => ours.isOpen && ours.keepsAlive ? `channel to ${process.pid}` : undefined,
      () => process.isAlive && keepsAlive ? `child ${process.pid}` : undefined,
    );
    return {
      pid: process.pid,
      channel: ours,
      kill: (signal) => process.take(signal),
      onExit: (receiver) => {
        const tell = (status: ExitStatus) =>
          queueMicrotask(() => {
            if (this.process.isAlive) receiver(status);
          });
        if (process.status === undefined) process.atEnd.push(tell);
        else tell(process.status);
      },
      keepAlive: (on) => void (keepsAlive = on),
    };
  }

  openChannel(fd: number): Channel {
    const channel = this.#channel;
    if (fd !== CHANNEL_FD || channel === undefined) {
      throw new Error(`Cannot open a channel: descriptor ${fd} is none`);
    }
    this.#holds.push(() =>
      channel.isOpen && channel.keepsAlive ? "channel to the parent" : undefined
    );
    return channel;
  }

  secure(fd: number, _nonBlocking: boolean): boolean {
    return this.process.descriptors.get(fd) !== undefined;
  }

  notify(_socket: string, message: string): Promise<void> {
    this.notified.push(message);
    return Promise.resolve();
  }

  monotonicUsec(): bigint {
    return BigInt(Math.round(this.process.system.clock.now() * 1_000));
  }

  async run({ command, started }: RunRequest): Promise<ExitStatus> {
    const pid = this.process.system.add({}).pid;
    await started?.(pid);
    this.ran.push([...command]);
    return { code: 0, signal: null };
  }

  failAtExit(): void {
    this.fails = true;
  }

  breathe(): Promise<void> {
    return Promise.resolve();
  }

  caughtUp(): Promise<void> {
    return Promise.resolve();
  }

  boundAt(fd: number): Promise<BoundAddress | undefined> {
    const [, kind, address] = /^(tcp|udp|unix) (.*)$/.exec(
      this.process.descriptors.get(fd)?.what ?? "",
    ) ?? [];
    return Promise.resolve(
      address === undefined ? undefined : parseBoundAddress(address, kind as BoundAddress["kind"]),
    );
  }

  isSocket(fd: number): boolean {
    return this.process.descriptors.get(fd)?.kind === "socket";
  }

  mayBeChannel(fd: number): boolean {
    return this.process.descriptors.get(fd)?.what === "channel";
  }

  closeFd(fd: number): void {
    this.process.descriptors.close(fd);
  }

  async listen(server: unknown, target: ListenTarget): Promise<Listener> {
    if ((server as { readonly listening?: unknown }).listening === true) {
      throw new UpgradeError(
        "ERR_ADOPT",
        `Cannot use the server for ${
          formatAddress(target.address)
        }: it listens already; pass it before its own listen() is called`,
      );
    }
    await this.options.onListen?.(target);
    return this.#listener(server, target);
  }

  async start(start: StartServer, target: ListenTarget): Promise<Listener> {
    await this.options.onListen?.(target);
    const server = await start(this.#at(target));
    if (typeof server !== "object" || server === null) {
      throw new UpgradeError(
        "ERR_ADOPT",
        `Cannot use the server for ${formatAddress(target.address)}: the function returned nothing`,
      );
    }
    return this.#listener(server, target);
  }

  onSignal(signal: string, handler: () => void): Disposer {
    if (!(signal in constants.signals)) throw new TypeError(`"${signal}" is not a signal here`);
    const { handlers } = this.process;
    const set = handlers.get(signal) ?? new Set();
    handlers.set(signal, set);
    // The same function may be installed twice.
    const own = () => handler();
    set.add(own);
    return () => void set.delete(own);
  }

  onFatalError(handler: (error: unknown) => void): Disposer {
    this.#fatal.add(handler);
    return () => void this.#fatal.delete(handler);
  }

  #listener(server: unknown, target: ListenTarget): MemoryListener {
    const { address, inherited } = target;
    let at: { readonly fd: number; readonly bound: BoundAddress; readonly inherited: boolean };
    if (inherited === undefined) {
      const { file, bound } = this.process.system.bind(
        address.kind === "unix"
          ? { kind: "unix", path: address.path }
          : { kind: address.kind, hostname: address.hostname ?? "::", port: address.port },
      );
      at = { fd: this.process.descriptors.open(file), bound, inherited: false };
    } else {
      if (!this.secure(inherited.fd, true)) {
        throw new UpgradeError(
          "ERR_ADOPT",
          `Cannot take over ${formatAddress(inherited.bound)}: its descriptor is closed`,
        );
      }
      at = { ...inherited, inherited: true };
    }
    const listener = new MemoryListener(this, server, at);
    this.listeners.push(listener);
    return listener;
  }

  #at({ address, inherited }: ListenTarget): ListenAt {
    const fd = inherited === undefined ? {} : { fd: inherited.fd };
    if (address.kind === "unix") return { path: address.path, unix: address.path, ...fd };
    const hostname = address.hostname ?? "::";
    return { port: inherited === undefined ? address.port : 0, hostname, host: hostname, ...fd };
  }
}

/** Gives a process the descriptor of its end of a channel. */
export function holdChannel(process: FakeProcess, channel: FakeChannel, at?: number): void {
  const fd = process.descriptors.open({
    kind: "socket",
    what: "channel",
    references: 0,
    onClosed: () => channel.drop(),
  }, at);
  channel.onClosed(() => process.descriptors.close(fd));
}

/**
 * Makes a process in memory, with a backend for an upgrader that has no parent.
 *
 * @param options See {@linkcode FakeBackendOptions}.
 * @returns The process; its children are played by the test.
 *
 * @example An upgrade that fails
 * ```ts no-eval
 * import { Upgrader } from "@changeover/changeover";
 * import { fakeBackend } from "@changeover/changeover/testing";
 *
 * const fake = fakeBackend();
 * const upgrader = await Upgrader.create({ backend: fake.backend });
 * await upgrader.ready();
 * const upgrade = upgrader.upgrade().catch((error) => error.code);
 * const child = await fake.child();
 * await child.exit(1);
 * console.log(await upgrade); // "ERR_CHILD_EXITED"
 * ```
 */
export function fakeBackend(options: FakeBackendOptions = {}): Fake {
  const process = new FakeSystem().add(
    options.env ?? { PATH: "/usr/bin:/bin" },
    undefined,
    options.pid,
  );
  return new FakeHost(process, options);
}
