/**
 * The parent of an upgrade, played by a test.
 *
 * @module
 */

import type { ExitStatus } from "../backend/backend.ts";
import {
  CHANNEL_FD,
  type DrainingGeneration,
  encodeFrame,
  ENV_NAME,
  FIRST_SOCKET_FD,
  formatInvitation,
  type Frame,
  type HelloFrame,
  type SocketEntry,
  type SocketKind,
} from "../protocol.ts";
import { parseBoundAddress } from "../address.ts";
import { type Fake, type FakeBackendOptions, FakeHost, holdChannel } from "./backend.ts";
import { FakeChannel } from "./channel.ts";
import { recordFrames } from "./child.ts";
import { settle } from "./clock.ts";
import { type FakeProcess, FakeSystem } from "./system.ts";

/** A socket or another descriptor that a played parent passes on. */
export interface FakeInheritance {
  /** The name under which the child claims it. */
  readonly identity: string;
  /** What it is. @default {"tcp"} */
  readonly kind?: SocketKind;
  /** Where it is bound. @default {"[::]:8080" for TCP, the path of `identity` for Unix sockets} */
  readonly address?: string;
}

/** Options of {@linkcode fakeParent}. */
export interface FakeParentOptions extends FakeBackendOptions {
  /** What the child inherits. @default {none} */
  readonly sockets?: readonly FakeInheritance[];
  /** Changes to the greeting. */
  readonly hello?: Partial<HelloFrame>;
  /** Whether it greets at once. @default {true} */
  readonly greets?: boolean;
}

/** A parent that says and does what the test wants. Each of its acts resolves when everybody has reacted. */
export class FakeParent {
  /** The process that it has started, with the backend for the upgrader under test. */
  readonly child: Fake;
  /** What the child has said, in order. */
  readonly frames: readonly Frame[];
  readonly #process: FakeProcess;
  readonly #channel: FakeChannel;
  readonly #hello: HelloFrame;

  /** @internal {@linkcode fakeParent} makes it. */
  constructor(options: FakeParentOptions) {
    const system = new FakeSystem();
    const process = system.add({});
    this.#process = process;
    const childProcess = system.add({
      ...options.env ?? { PATH: "/usr/bin:/bin" },
      [ENV_NAME]: formatInvitation(process.pid),
    }, process);
    const [ours, theirs] = FakeChannel.pair();
    this.#channel = ours;
    this.frames = recordFrames(theirs, ({ type }) => {
      // As a real one, which drains from then on and says so.
      if (type === "owned") ours.write(encodeFrame({ type: "history", records: [] }));
    });
    holdChannel(process, ours);
    holdChannel(childProcess, theirs, CHANNEL_FD);
    const sockets = (options.sockets ?? []).map((socket, index): SocketEntry => {
      const { identity, kind = "tcp" } = socket;
      const fd = FIRST_SOCKET_FD + index;
      const address = socket.address ??
        (kind === "unix" ? identity : kind === "raw" ? "" : "[::]:8080");
      const file = kind === "raw"
        ? { kind: "file" as const, what: identity, references: 0 }
        : system.bind(parseBoundAddress(address, kind)).file;
      process.descriptors.open(file);
      childProcess.descriptors.open(file, fd);
      return { fd, kind, identity, address };
    });
    this.#hello = {
      type: "hello",
      v: 1,
      generation: 2,
      pid: process.pid,
      runtime: "node",
      sockets,
      deadlineMs: 60_000,
      probationMs: 0,
      draining: [],
      ...options.hello,
    };
    for (const { pid } of this.#hello.draining as readonly DrainingGeneration[]) {
      system.add({}, undefined, pid);
    }
    this.child = new FakeHost(childProcess, options, theirs);
    if (options.greets ?? true) this.#channel.write(encodeFrame(this.#hello));
  }

  /** Process id. */
  get pid(): number {
    return this.#process.pid;
  }

  /** How it ended; `undefined` while it lives. */
  get status(): ExitStatus | undefined {
    return this.#process.status;
  }

  /** Greets, where it did not at once. */
  hello(): Promise<void> {
    return this.send(this.#hello);
  }

  /** Says that it watches the child for a while. */
  probation(): Promise<void> {
    return this.send({ type: "probation" });
  }

  /** Says that the child is to take over. */
  commit(): Promise<void> {
    return this.send({ type: "commit" });
  }

  /** Calls the upgrade off. */
  abort(reason: string): Promise<void> {
    return this.send({ type: "abort", reason });
  }

  /** Says anything of the protocol. */
  send(frame: Frame): Promise<void> {
    return this.sendBytes(encodeFrame(frame));
  }

  /** Writes anything into the channel. */
  async sendBytes(bytes: Uint8Array | string): Promise<void> {
    this.#channel.write(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
    await settle();
  }

  /** Ends: with an exit code, or by a signal. */
  async exit(how: number | string = 0): Promise<void> {
    this.#process.end(
      typeof how === "number" ? { code: how, signal: null } : { code: null, signal: how },
    );
    await settle();
  }
}

/**
 * Makes two processes in memory: a parent that the test plays, and its child, with a backend for an upgrader.
 *
 * @param options What the child inherits, and how it and the parent behave.
 * @returns The parent.
 *
 * @example An upgrade that is called off
 * ```ts no-eval
 * import { Upgrader } from "@changeover/changeover";
 * import { fakeParent } from "@changeover/changeover/testing";
 *
 * const parent = fakeParent();
 * const upgrader = await Upgrader.create({ backend: parent.child.backend });
 * const ready = upgrader.ready().catch((error) => error.code);
 * await parent.abort("changed my mind");
 * console.log(await ready); // "ERR_ABORTED"
 * ```
 */
export function fakeParent(options: FakeParentOptions = {}): FakeParent {
  return new FakeParent(options);
}
