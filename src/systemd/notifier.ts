/**
 * Tells a service manager what goes on: `sd_notify(3)`, driven by the events of the upgrader.
 *
 * The owner speaks, and at the change of owner both: the old process names the new one as main process in the very
 * message that says that the reload is over, because under `NotifyAccess=main` nobody else would be heard; the new one
 * says the same, in case the old one dies first.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import type { LifecycleEvent } from "../machine_types.ts";
import type { UpgraderEventDetail } from "../report.ts";
import { MainPid } from "./main_pid.ts";
import { Watchdog } from "./watchdog.ts";

/** Bounds of the upgrader, in milliseconds: so much more time the manager is asked for. */
export interface NotifierTimes {
  readonly upgradeTimeoutMs: number;
  readonly probationMs: number;
  readonly drainTimeoutMs: number;
}

/** Who this process is. */
export interface NotifierFacts {
  readonly generation: number;
  /** Process id of the parent; `undefined` in a process that no upgrade started. */
  readonly parentPid: number | undefined;
}

// What the process needs around its own bounds: to start, to exit.
const MARGIN_MS = 5_000;
// A successor that crashes leaves nobody who serves: what this process still answers may not delay the restart for long.
const LAST_MS = 2_000;

/** Told by the core; speaks to the manager. */
export class ServiceNotifier {
  readonly #backend: Backend;
  readonly #socket: string;
  readonly #times: NotifierTimes;
  readonly #facts: NotifierFacts;
  readonly #warn: (message: string) => void;
  readonly #watchdog: Watchdog;
  readonly #mainPid: MainPid;
  #pending: Promise<void> | undefined;
  #isOwner: boolean;
  #isReloading = false;
  #hasWarned = false;

  private constructor(
    backend: Backend,
    socket: string,
    of: { readonly times: NotifierTimes; readonly facts: NotifierFacts },
    warn: (message: string) => void,
  ) {
    this.#backend = backend;
    this.#socket = socket;
    this.#times = of.times;
    this.#facts = of.facts;
    this.#warn = warn;
    this.#isOwner = of.facts.parentPid === undefined;
    this.#watchdog = new Watchdog(backend, () => this.#send({ WATCHDOG: 1 }), warn);
    this.#mainPid = new MainPid(backend, socket, (pid) =>
      this.#send({
        MAINPID: pid,
        // Whoever was replaced meanwhile leaves the status to its successor.
        ...(this.#isOwner && !this.#isReloading ? { STATUS: `${this.#serves()} alone` } : {}),
      }));
  }

  /**
   * Looks whether there is a manager that wants to be told.
   *
   * @returns `undefined` when `NOTIFY_SOCKET` is not set, or cannot be used.
   */
  static find(
    backend: Backend,
    of: { readonly times: NotifierTimes; readonly facts: NotifierFacts },
    warn: (message: string) => void,
  ): ServiceNotifier | undefined {
    const socket = backend.env["NOTIFY_SOCKET"];
    if (socket === undefined || socket === "") return undefined;
    if (/^[/@]/.test(socket) && !socket.includes("\0")) {
      return new ServiceNotifier(backend, socket, of, warn);
    }
    warn(
      `NOTIFY_SOCKET is ${
        JSON.stringify(socket)
      }, which is neither a path nor an abstract name; the service manager is ` +
        `told nothing`,
    );
    return undefined;
  }

  /** This process begins to initialise. @returns When it is known how messages are sent. */
  async starting(): Promise<void> {
    const { generation, parentPid } = this.#facts;
    this.#send({
      STATUS: `Generation ${generation} initialises`,
      // A successor is waited for by its parent, which has asked for the time already.
      ...(parentPid === undefined ? { EXTEND_TIMEOUT_USEC: this.#times.upgradeTimeoutMs } : {}),
    });
    await this.#pending;
  }

  /** Something has happened. */
  told(event: LifecycleEvent, detail: UpgraderEventDetail): void {
    const { generation, parentPid } = this.#facts;
    const { upgradeTimeoutMs, probationMs, drainTimeoutMs } = this.#times;
    switch (event) {
      case "ready":
        this.#isOwner = true;
        this.#send({
          ...(parentPid === undefined ? {} : { MAINPID: this.#backend.pid }),
          READY: 1,
          STATUS: this.#serves(),
        });
        this.#watchdog.start();
        break;
      case "parent-gone":
        if (this.#isOwner && parentPid !== undefined) this.#mainPid.reclaim(parentPid);
        break;
      case "upgrading":
        this.#isReloading = true;
        this.#reloading(`Upgrading: generation ${generation + 1} is started`, upgradeTimeoutMs);
        break;
      case "spawned":
        this.#send({ STATUS: `Upgrading: generation ${generation + 1} initialises` });
        break;
      case "child-ready":
        if (probationMs === 0) break;
        this.#send({
          STATUS: `Upgrading: generation ${generation + 1} is on probation`,
          EXTEND_TIMEOUT_USEC: probationMs + upgradeTimeoutMs,
        });
        break;
      case "upgraded":
        this.#isOwner = false;
        this.#watchdog.stop();
        this.#mainPid.passOn(detail.report?.pid ?? this.#backend.pid);
        this.#send({
          MAINPID: detail.report?.pid ?? this.#backend.pid,
          READY: 1,
          STATUS: `Generation ${generation + 1} serves, generation ${generation} drains`,
        });
        break;
      case "upgrade-failed":
        this.#isReloading = false;
        this.#send({
          // The child may have said that it is the main process, and died.
          MAINPID: this.#backend.pid,
          READY: 1,
          STATUS: `${this.#serves()}; the upgrade failed: ${detail.error?.message ?? "unknown"}`,
        });
        break;
      case "stopping":
        if (!this.#isOwner) break;
        this.#send({
          STOPPING: 1,
          STATUS: `Generation ${generation} stops, its connections finish`,
          EXTEND_TIMEOUT_USEC: drainTimeoutMs,
        });
        break;
      case "aborted":
        this.#isOwner = false;
        this.dispose();
        break;
      case "drained":
        this.dispose();
        break;
    }
  }

  /** An upgrade was refused before it began; whoever waits for a reload is to learn that it is over. */
  refused(message: string): void {
    if (!this.#isOwner) return;
    this.#reloading("Upgrading", 0);
    this.#send({ READY: 1, STATUS: `${this.#serves()}; the upgrade was refused: ${message}` });
  }

  /**
   * The successor has ended without having been replaced or stopped, while this process drains. The manager has not
   * seen that: the process was this one's child. So this one is the main process again, and ends as a failure.
   *
   * @param cut Cuts what is open here.
   */
  lost(cut: () => void): void {
    this.#mainPid.passOn(this.#backend.pid);
    this.#send({
      MAINPID: this.#backend.pid,
      // So that the manager's own patience (TimeoutStopSec=) bounds the end.
      STOPPING: 1,
      STATUS: `Generation ${this.#facts.generation + 1} has died; leaving, to be started again`,
    });
    this.#backend.failAtExit();
    this.#backend.clock.after(LAST_MS, cut);
  }

  /** Nothing is told any more by itself. */
  dispose(): void {
    this.#watchdog.stop();
    this.#mainPid.stop();
  }

  #serves(): string {
    const { runtime, version } = this.#backend;
    return `Generation ${this.#facts.generation} (${runtime} ${version}) serves`;
  }

  #reloading(status: string, extendMs: number): void {
    this.#send({
      RELOADING: 1,
      MONOTONIC_USEC: this.#backend.monotonicUsec(),
      STATUS: status,
      ...(extendMs === 0 ? {} : { EXTEND_TIMEOUT_USEC: extendMs }),
    });
  }

  /** One datagram; one after the other, because a helper takes its time. */
  #send(fields: Readonly<Record<string, string | number | bigint>>): void {
    const text = Object.entries(fields).map(([name, value]) =>
      name === "EXTEND_TIMEOUT_USEC"
        ? `${name}=${(Number(value) + MARGIN_MS) * 1_000}`
        : `${name}=${oneLine(String(value))}`
    ).join("\n");
    const go = () => this.#backend.notify(this.#socket, text).catch((error) => this.#failed(error));
    const sent = this.#pending === undefined ? go() : this.#pending.then(go);
    this.#pending = sent;
    sent.then(() => {
      if (this.#pending === sent) this.#pending = undefined;
    });
  }

  #failed(error: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#warn(`the service manager cannot be told what goes on: ${(error as Error).message}`);
  }
}

/** A status is one line. */
function oneLine(text: string): string {
  const line = text.replace(/[\s\0]+/g, " ");
  return line.length <= 500 ? line : `${line.slice(0, 499)}…`;
}
