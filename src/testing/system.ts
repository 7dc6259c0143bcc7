/**
 * The machine on which the processes of a test run: processes, bound addresses, time.
 *
 * @module
 */

import { type BoundAddress, formatAddress } from "../address.ts";
import type { Clock, ExitStatus } from "../backend/backend.ts";
import { UpgradeError } from "../errors.ts";
import { ManualClock } from "./clock.ts";
import { Descriptors, type OpenFile } from "./descriptors.ts";

/** One process of a test. */
export class FakeProcess {
  readonly pid: number;
  /** Differs between two processes of the same number. */
  readonly started: string;
  readonly system: FakeSystem;
  readonly env: Record<string, string | undefined>;
  readonly descriptors: Descriptors = new Descriptors();
  /** Handlers by the name of the signal. */
  readonly handlers: Map<string, Set<() => void>> = new Map();
  /** Signals that were sent to it, in order. */
  readonly signals: string[] = [];
  /** What is to happen in other places when it has ended. */
  readonly atEnd: ((status: ExitStatus) => void)[] = [];
  /** Signals without a handler that do not end it. */
  readonly immune: Set<string> = new Set();
  /** How it ended; `undefined` while it lives. */
  status: ExitStatus | undefined;
  #parent: FakeProcess | undefined;

  constructor(
    system: FakeSystem,
    pid: number,
    env: Readonly<Record<string, string | undefined>>,
    parent?: FakeProcess,
  ) {
    this.system = system;
    this.pid = pid;
    this.started = system.nextStart();
    this.env = { ...env };
    this.#parent = parent;
  }

  get isAlive(): boolean {
    return this.status === undefined;
  }

  /** The parent, or the process that adopted it. */
  get parentPid(): number {
    return this.#parent?.isAlive ? this.#parent.pid : 1;
  }

  /** The clock as this process sees it: what it waits for does not happen once it is dead. */
  get clock(): Clock {
    const { clock } = this.system;
    return {
      now: () => clock.now(),
      after: (ms, callback) =>
        clock.after(ms, () => {
          if (this.isAlive) callback();
        }),
    };
  }

  /** Takes a signal: to its handlers, or to its default action, which is the end. */
  take(signal: string): void {
    if (!this.isAlive) return;
    this.signals.push(signal);
    const handlers = [...this.handlers.get(signal) ?? []];
    if (handlers.length > 0) { for (const handler of handlers) handler(); }
    else if (!this.immune.has(signal)) this.end({ code: null, signal });
  }

  /** Ends; the kernel closes what it had open. */
  end(status: ExitStatus): void {
    if (!this.isAlive) return;
    this.status = status;
    this.handlers.clear();
    const late = this.atEnd.splice(0);
    this.descriptors.closeAll();
    for (const call of late) call(status);
  }
}

/** What the processes of a test share. */
export class FakeSystem {
  readonly clock: ManualClock = new ManualClock();
  readonly processes: Map<number, FakeProcess> = new Map();
  readonly #bound = new Set<BoundAddress>();
  #lastPid = 1000;
  #lastPort = 49_151;
  #lastStart = 0;

  /** A time of start that no other process has. */
  nextStart(): string {
    return String(++this.#lastStart);
  }

  /** Adds a process. */
  add(
    env: Readonly<Record<string, string | undefined>>,
    parent?: FakeProcess,
    pid: number = this.#freePid(),
  ): FakeProcess {
    const process = new FakeProcess(this, pid, env, parent);
    this.processes.set(pid, process);
    return process;
  }

  /**
   * Binds an address.
   *
   * @throws {UpgradeError} `ERR_ADDRESS` when it is in use.
   */
  bind(wanted: BoundAddress): { readonly file: OpenFile; readonly bound: BoundAddress } {
    const bound = wanted.kind !== "unix" && wanted.port === 0
      ? { ...wanted, port: ++this.#lastPort }
      : wanted;
    const address = formatAddress(bound);
    if ([...this.#bound].some((other) => inTheWay(other, bound))) {
      throw new UpgradeError(
        "ERR_ADDRESS",
        `Cannot listen on ${address}: the address is in use by another process`,
      );
    }
    const file: OpenFile = {
      kind: "socket",
      what: `${bound.kind} ${address}`,
      references: 0,
      onClosed: () => void this.#bound.delete(bound),
    };
    this.#bound.add(bound);
    return { file, bound };
  }

  #freePid(): number {
    do this.#lastPid += 1; while (this.processes.has(this.#lastPid));
    return this.#lastPid;
  }
}

/** Whether one of two addresses is the other or a part of it, so that only one can be bound. */
function inTheWay(one: BoundAddress, other: BoundAddress): boolean {
  if (one.kind === "unix" || other.kind === "unix") {
    return one.kind === "unix" && other.kind === "unix" && one.path === other.path;
  }
  if (one.kind !== other.kind || one.port !== other.port) return false;
  const hosts = [one.hostname, other.hostname];
  return hosts[0] === hosts[1] || hosts.includes("::") ||
    (hosts.includes("0.0.0.0") && hosts.every((host) => !host.includes(":")));
}
