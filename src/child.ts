/**
 * The old process's view of the new one: starts it, talks to it, learns how it ended, lets it go.
 *
 * @module
 */

import type {
  Backend,
  Disposer,
  ExitStatus,
  SpawnedProcess,
  SpawnRequest,
} from "./backend/backend.ts";
import { UpgradeError } from "./errors.ts";
import type { Failure } from "./machine.ts";
import { encodeFrame, type Frame, FrameDecoder, type HelloFrame, tail } from "./protocol.ts";

/** What a child can do to its parent; after `release` only frames and the end are told. */
export interface ChildObserver {
  frame(frame: Frame): void;
  /** It said something that is not the protocol, or closed its channel and lives on. */
  failed(failure: Failure): void;
  /** The process has ended. */
  exited(failure: Failure): void;
  /** The process has ended after it was let go. */
  lost?(): void;
}

// The two ends of a dying process arrive in any order: the channel's end of file and the exit status.
const LAST_WORDS_MS = 250;
const STATUS_MS = 1_000;

function howItEnded(status: ExitStatus): Failure {
  const { code, signal } = status;
  const how = signal !== null
    ? `was ended by ${signal}`
    : code !== null
    ? `exited with code ${code}`
    : "ended";
  return {
    code: "ERR_CHILD_EXITED",
    message: `Cannot upgrade: the child ${how} before it had taken over; its output says why`,
    ...(code === null ? {} : { exitCode: code }),
    ...(signal === null ? {} : { signal }),
  };
}

/** A started successor. */
export class Child {
  readonly pid: number;
  readonly #process: SpawnedProcess;
  readonly #observer: ChildObserver;
  #silent = false;
  #ended = false;
  #channelOpen = true;
  /** Ends the wait for the other half of the news. */
  #patience: Disposer | undefined;
  #status: ExitStatus | undefined;

  private constructor(backend: Backend, process: SpawnedProcess, observer: ChildObserver) {
    this.#process = process;
    this.#observer = observer;
    this.pid = process.pid;
    const decoder = new FrameDecoder();
    let readable = true;
    process.channel.onData((bytes) => {
      if (!readable) return;
      try {
        for (const frame of decoder.push(bytes)) observer.frame(frame);
      } catch (error) {
        readable = false;
        this.#tell(() => observer.failed(protocolFailure(error)));
      }
    });
    process.channel.onEnd(() => {
      this.#channelOpen = false;
      if (this.#status !== undefined) this.#exited();
      else this.#patience = backend.clock.after(STATUS_MS, () => this.#deserted());
    });
    process.onExit((status) => {
      this.#status = status;
      // Its last words may still be in the channel; a grandchild may hold the channel open for ever.
      if (!this.#channelOpen) this.#exited();
      else this.#patience = backend.clock.after(LAST_WORDS_MS, () => this.#exited());
    });
  }

  /**
   * Starts a child and greets it.
   *
   * @throws {UpgradeError} `ERR_SPAWN`; nothing is left of it then.
   */
  static async start(
    backend: Backend,
    request: SpawnRequest,
    hello: HelloFrame,
    observer: ChildObserver,
  ): Promise<Child> {
    // Encoded first: a frame that is too long must not leave a process behind.
    const greeting = encodeFrame(hello);
    const process = await backend.spawn(request);
    const child = new Child(backend, process, observer);
    process.channel.write(greeting);
    return child;
  }

  /** Whether its end of the channel is open. */
  get isHearing(): boolean {
    return this.#channelOpen;
  }

  /** Says something; nothing happens when the child is gone. */
  send(frame: Frame): void {
    if (this.#channelOpen) this.#process.channel.write(encodeFrame(frame));
  }

  /** Sends a signal; nothing happens when the child is gone. */
  kill(signal: string): void {
    if (this.#status === undefined) this.#process.kill(signal);
  }

  /**
   * Lets go: nothing of the child keeps this process alive, and what becomes of it is not told any more.
   *
   * The channel of a living child stays open until this process ends, which is how the child learns that it did; the
   * kernel closes it then.
   */
  release(): void {
    this.#silent = true;
    this.#process.keepAlive(false);
    this.#process.channel.keepAlive(false);
    if (this.#status !== undefined) this.#process.channel.close();
  }

  #tell(call: () => void): void {
    if (!this.#silent) call();
  }

  #exited(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#patience?.();
    this.#process.channel.close();
    if (this.#silent) this.#observer.lost?.();
    this.#tell(() =>
      this.#observer.exited(howItEnded(this.#status ?? { code: null, signal: null }))
    );
  }

  #deserted(): void {
    if (this.#status !== undefined || this.#ended) return;
    this.#tell(() =>
      this.#observer.failed({
        code: "ERR_CHILD_FAILED",
        message:
          "Cannot upgrade: the child closed its channel without having taken over; it must not close descriptor 3",
      })
    );
  }
}

/** Why an upgrade fails when the other side does not keep to the protocol. */
export function protocolFailure(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  return { code: "ERR_PROTOCOL", message: `Cannot understand the other process: ${message}` };
}

/** The failure that a `fail` frame reports. */
export function reportedFailure(message: string, stack: string): Failure {
  return {
    code: "ERR_CHILD_FAILED",
    message: `Cannot upgrade: the child failed: ${message}`,
    ...(stack === "" ? {} : { childOutput: stack }),
  };
}

/** A failure as an error for the caller. */
export function toError(failure: Failure, cause?: unknown): UpgradeError {
  const { code, message, ...rest } = failure;
  return new UpgradeError(code, message, cause === undefined ? rest : { ...rest, cause });
}

/** Anything that was thrown, as a failure; an `UpgradeError` keeps its code. */
export function toFailure(error: unknown, fallback: Failure["code"]): Failure {
  if (UpgradeError.is(error)) {
    return {
      code: error.code,
      message: error.message,
      ...(error.childOutput === undefined ? {} : { childOutput: error.childOutput }),
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error ? error.stack : undefined;
  return { code: fallback, message, ...(stack === undefined ? {} : { childOutput: tail(stack) }) };
}
