/**
 * The new process's view of the old one: reads the invitation, greets, reports, learns when it is gone.
 *
 * @module
 */

import type { Backend, Channel } from "./backend/backend.ts";
import { UpgradeError } from "./errors.ts";
import {
  encodeFrame,
  ENV_NAME,
  FIRST_SOCKET_FD,
  type Frame,
  FrameDecoder,
  type HelloFrame,
  type Invitation,
  parseInvitation,
  tail,
} from "./protocol.ts";

/** What a parent can do to its child. */
export interface ParentObserver {
  frame(frame: Frame): void;
  /** It said something that is not the protocol. */
  garbled(error: unknown): void;
  /** The process has ended. */
  gone(): void;
}

// The parent greets in the tick in which it starts the child; this bound only ends what would never end.
const HELLO_MS = 60_000;

/**
 * Reads this library's variable and removes it, so that no other process that is started from here finds it.
 *
 * A process that merely inherited the variable from a real child is recognised by its parent: the variable names the
 * process that started the child. Where that one is dead already, whoever holds the channel's descriptor is the child.
 *
 * @returns The invitation, or `undefined` when this process was not started by an upgrade.
 */
export function readInvitation(
  backend: Backend,
  warn: (message: string) => void,
): Invitation | undefined {
  const value = backend.env[ENV_NAME];
  if (value === undefined) return undefined;
  delete backend.env[ENV_NAME];
  let invitation: Invitation;
  try {
    invitation = parseInvitation(value);
  } catch (error) {
    warn(`${(error as Error).message}; the variable is ignored`);
    return undefined;
  }
  const orphan = backend.parentPid() !== invitation.ppid;
  if (orphan && backend.isAlive(invitation.ppid)) {
    warn(
      `${ENV_NAME} was meant for another process (a child of ${invitation.ppid}) and is ignored`,
    );
    return undefined;
  }
  // A listening socket, which a service manager may have passed under that number, never says hello.
  if (!backend.mayBeChannel(invitation.fd) || !backend.secure(invitation.fd, true)) {
    warn(
      `${ENV_NAME} names descriptor ${invitation.fd}, which is not a channel; the variable is ignored`,
    );
    return undefined;
  }
  return invitation;
}

/** The running predecessor. */
export class Parent {
  readonly hello: HelloFrame;
  readonly #channel: Channel;
  #observer: ParentObserver | undefined;
  /** What happened before somebody watched. */
  #missed: ((observer: ParentObserver) => void)[] = [];
  #open = true;

  private constructor(channel: Channel, hello: HelloFrame) {
    this.#channel = channel;
    this.hello = hello;
  }

  /**
   * Waits for the parent's greeting and secures what it passed.
   *
   * @returns The parent, or `undefined` when it died before it could say what it passed; what it passed is closed then.
   * @throws {UpgradeError} `ERR_PROTOCOL` when it does not speak version 1 or passed less than it says.
   */
  static join(backend: Backend, invitation: Invitation): Promise<Parent | undefined> {
    const channel = backend.openChannel(invitation.fd);
    const decoder = new FrameDecoder();
    return new Promise((resolve, reject) => {
      let parent: Parent | undefined;
      let isRefused = false;
      const stopWaiting = backend.clock.after(
        HELLO_MS,
        () =>
          refuse(
            new UpgradeError("ERR_PROTOCOL", "Cannot take over: the parent did not say hello"),
          ),
      );
      const refuse = (error: unknown) => {
        stopWaiting();
        const failure = error instanceof Error ? error.message : String(error);
        channel.write(encodeFrame({ type: "fail", message: tail(failure), stack: "" }));
        // First: some runtimes tell the end of a channel that is closed before close() has returned.
        isRefused = true;
        reject(error);
        channel.close();
      };
      const greet = (frame: Frame): Parent | undefined => {
        if (frame.type !== "hello") {
          throw new UpgradeError(
            "ERR_PROTOCOL",
            `Cannot take over: the parent said "${frame.type}" before hello`,
          );
        }
        for (const socket of frame.sockets) {
          if (!backend.secure(socket.fd, socket.kind !== "raw")) {
            throw new UpgradeError(
              "ERR_PROTOCOL",
              `Cannot take over: descriptor ${socket.fd} (${socket.identity}) was announced and is not open`,
            );
          }
        }
        stopWaiting();
        const joined = new Parent(channel, frame);
        joined.send({ type: "joined" });
        resolve(joined);
        return joined;
      };
      channel.onData((bytes) => {
        if (isRefused) return;
        try {
          for (const frame of decoder.push(bytes)) {
            if (parent === undefined) parent = greet(frame);
            else parent.#tell((observer) => observer.frame(frame));
          }
        } catch (error) {
          if (parent === undefined) refuse(error);
          else parent.#tell((observer) => observer.garbled(error));
        }
      });
      channel.onEnd(() => {
        if (parent !== undefined) {
          parent.#open = false;
          parent.#tell((observer) => observer.gone());
          return;
        }
        stopWaiting();
        if (isRefused) return;
        // Which socket is which only the parent knew: closed, so that they can be bound anew.
        for (let fd = FIRST_SOCKET_FD; backend.isSocket(fd); fd++) {
          backend.closeFd(fd);
        }
        resolve(undefined);
      });
    });
  }

  /** Says who is to be told; what happened in the meantime is told at once. */
  observe(observer: ParentObserver): void {
    this.#observer = observer;
    for (const call of this.#missed.splice(0)) call(observer);
  }

  /** Whether its end of the channel is open. */
  get isHeard(): boolean {
    return this.#open;
  }

  /** Says something. @returns Whether there is somebody to hear it. */
  send(frame: Frame): boolean {
    if (this.#open) this.#channel.write(encodeFrame(frame));
    return this.#open;
  }

  /** Says the last thing of a dying process. */
  sendSync(frame: Frame): void {
    if (this.#open) this.#channel.writeSync(encodeFrame(frame));
  }

  /** Whether the parent's channel keeps this process alive: until it is ready, and not afterwards. */
  keepAlive(on: boolean): void {
    this.#channel.keepAlive(on);
  }

  /** Closes the channel. */
  close(): void {
    this.#open = false;
    this.#channel.close();
  }

  #tell(call: (observer: ParentObserver) => void): void {
    if (this.#observer === undefined) this.#missed.push(call);
    else call(this.#observer);
  }
}
