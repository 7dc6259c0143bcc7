/**
 * The child of an upgrade, played by a test.
 *
 * @module
 */

import type { ExitStatus, SpawnRequest } from "../backend/backend.ts";
import { encodeFrame, type Frame, FrameDecoder, type HelloFrame } from "../protocol.ts";
import type { Fake } from "./backend.ts";
import type { FakeChannel } from "./channel.ts";
import { settle } from "./clock.ts";
import type { FakeProcess } from "./system.ts";

/** What a {@linkcode FakeChild} is made of. */
export interface FakeChildParts {
  readonly process: FakeProcess;
  readonly request: SpawnRequest;
  readonly channels: { readonly ours: FakeChannel; readonly theirs: FakeChannel };
  readonly fake: Fake;
}

/** Reads the frames that go through one end of a channel, up to the first bytes that are none. */
export function recordFrames(
  end: FakeChannel,
  heard: (frame: Frame) => void = () => {},
): Frame[] {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder();
  end.onSent((bytes) => {
    try {
      for (const frame of decoder.push(bytes)) {
        frames.push(frame);
        heard(frame);
      }
    } catch {
      end.onSent(() => {});
    }
  });
  return frames;
}

/**
 * A child that says and does what the test wants. Each of its acts resolves when everybody has reacted.
 *
 * By default it dies of SIGTERM and SIGKILL, as a process without handlers does.
 */
export class FakeChild {
  /** What it was started with. */
  readonly request: SpawnRequest;
  /** What the parent has said, in order. */
  readonly frames: readonly Frame[];
  /** The process itself, for an `Upgrader` of its own instead of a script. */
  readonly fake: Fake;
  readonly #process: FakeProcess;
  readonly #channel: FakeChannel;

  /** @internal A spawn makes it. */
  constructor({ process, request, channels, fake }: FakeChildParts) {
    this.#process = process;
    this.#channel = channels.theirs;
    this.request = request;
    this.fake = fake;
    this.frames = recordFrames(channels.ours);
  }

  /** Process id. */
  get pid(): number {
    return this.#process.pid;
  }

  /** The signals that it was sent, in order. */
  get signals(): readonly string[] {
    return this.#process.signals;
  }

  /** How it ended; `undefined` while it lives. */
  get status(): ExitStatus | undefined {
    return this.#process.status;
  }

  /** Each open descriptor, such as `"4 tcp 127.0.0.1:8080"`. */
  get descriptors(): readonly string[] {
    return this.#process.descriptors.list();
  }

  /** What the parent said first. @throws {Error} When it has not greeted. */
  get hello(): HelloFrame {
    const [first] = this.frames;
    if (first?.type !== "hello") throw new Error("Cannot tell the greeting: there was none");
    return first;
  }

  /** From now on these signals do nothing; also SIGKILL, as for a process that the kernel holds back. */
  ignore(...signals: string[]): void {
    for (const signal of signals) this.#process.immune.add(signal);
  }

  /** Says that it is ready; by default it has claimed all sockets. */
  ready(overrides: Partial<Extract<Frame, { type: "ready" }>> = {}): Promise<void> {
    return this.send({
      type: "ready",
      pid: this.pid,
      generation: this.hello.generation,
      runtime: "node",
      version: "1.2.3",
      used: this.hello.sockets.map(({ identity }) => identity),
      ...overrides,
    });
  }

  /** Says that it has taken over. */
  owned(): Promise<void> {
    return this.send({ type: "owned" });
  }

  /** Says that it cannot take over. */
  fail(message: string, stack = ""): Promise<void> {
    return this.send({ type: "fail", message, stack });
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

  /** Closes its end of the channel and lives on. */
  async closeChannel(): Promise<void> {
    this.#channel.drop();
    await settle();
  }

  /** Ends: with an exit code, or by a signal. */
  async exit(how: number | string): Promise<void> {
    this.#process.end(
      typeof how === "number" ? { code: how, signal: null } : { code: null, signal: how },
    );
    await settle();
  }
}
