/**
 * The program of a child: it opens its channel and does what it is told there, with nothing but its backend.
 *
 * @module
 */

import type { Channel, Listener, ListenTarget } from "../../src/backend/backend.ts";
import { UpgradeError } from "../../src/errors.ts";
import { CHANNEL_FD } from "../../src/protocol.ts";
import { Inbox } from "./inbox.ts";
import { kindOf } from "./kinds.ts";
import { Peer } from "./peer.ts";
import { type Host, pattern, turns } from "./world.ts";

/** What a child can be told: a line of JSON, `[name, argument]`. What it answers is one, too. */
export type Command = readonly [name: keyof Child, argument?: unknown];

/** Variable of the environment with the command that comes before all others. */
export const FIRST = "CONTRACT_FIRST";

/** What is said of a failure across the channel. */
export interface Failure {
  readonly code: string;
  readonly message: string;
}

/** Begins the program. */
export async function play(host: Host): Promise<void> {
  const channel = host.backend.openChannel(CHANNEL_FD);
  const child = new Child(host, channel);
  const first = host.backend.env[FIRST];
  if (first !== undefined) await child.obey(first);
  await child.work();
}

/** A child. Its public functions are what it can be told. */
export class Child {
  readonly #host: Host;
  readonly #channel: Channel;
  #inbox: Inbox | undefined;
  #listener: Listener | undefined;
  #served = 0;
  #caught = 0;
  #release: () => void = () => {};
  #peer: Peer | undefined;

  constructor(host: Host, channel: Channel) {
    this.#host = host;
    this.#channel = channel;
  }

  async work(): Promise<void> {
    this.#inbox ??= new Inbox(this.#channel);
    for (;;) {
      const line = await this.#inbox.line();
      if (line === undefined) return;
      await this.obey(line);
    }
  }

  async obey(line: string): Promise<void> {
    const [name, argument] = JSON.parse(line) as Command;
    let answer: unknown;
    try {
      answer = await (this[name] as (argument: unknown) => unknown)(argument);
    } catch (error) {
      const { message } = error as Error;
      answer = { code: UpgradeError.is(error) ? error.code : "", message } satisfies Failure;
    }
    if (answer !== undefined) this.#say(answer);
  }

  #say(answer: unknown): void {
    this.#channel.write(new TextEncoder().encode(`${JSON.stringify(answer)}\n`));
  }

  // Facts.

  facts = (): object => {
    const { backend } = this.#host;
    return {
      pid: backend.pid,
      parentPid: backend.parentPid(),
      startedAt: backend.startedAt(backend.pid),
      cwd: backend.facts.realCwd,
      env: backend.env,
    };
  };

  descriptors = (): unknown => [...this.#host.descriptors()];

  secure = (fds: readonly number[]): unknown =>
    fds.map((fd) => this.#host.backend.secure(fd, true));

  flags = (fds: readonly number[]): unknown => fds.map((fd) => this.#host.flags(fd));

  // The channel.

  /** Sends that many bytes back. */
  echo = async (length: number): Promise<void> => {
    for (let left = length; left > 0;) {
      const bytes = await this.#inbox?.take(Math.min(left, 10_000)) ?? new Uint8Array();
      if (bytes.length === 0) return;
      left -= bytes.length;
      this.#channel.write(bytes);
    }
  };

  /** Exits with 0 when what comes up to the end is the pattern of that length. */
  expect = async (length: number): Promise<void> => {
    const bytes = await this.#inbox?.rest() ?? new Uint8Array();
    const wanted = pattern(length);
    const same = bytes.length === length && bytes.every((byte, index) => byte === wanted[index]);
    this.#host.exit(same ? 0 : 1);
  };

  /** Sends the pattern of that length and closes its end at once. */
  sendAndClose = (length: number): void => {
    this.#channel.write(pattern(length));
    this.#channel.close();
  };

  /** Leaves what arrives where it is, for some turns of the loop. */
  dawdle = async (): Promise<void> => {
    await turns(20);
    this.#inbox = new Inbox(this.#channel);
  };

  /** Writes its last words and dies of SIGKILL before the loop turns. */
  lastWords = ([before, last]: readonly [string, string]): void => {
    const encoder = new TextEncoder();
    if (before !== "") this.#channel.write(encoder.encode(before));
    this.#channel.writeSync(encoder.encode(last));
    this.#host.backend.kill(this.#host.backend.pid, "SIGKILL");
  };

  close = (): void => this.#channel.close();

  // The end, and what stands before it.

  exit = (code: number): void => this.#host.exit(code);

  crash = (how: "error" | "rejection"): void => {
    const { backend } = this.#host;
    backend.onFatalError((error) => {
      const message = error instanceof Error ? error.message : String(error);
      this.#channel.writeSync(new TextEncoder().encode(`${JSON.stringify({ message })}\n`));
    });
    this.#host.crash(how, "something unforeseen");
  };

  setTimer = (ms: number): boolean => {
    this.#host.backend.clock.after(ms, () => {});
    return true;
  };

  catch = (signal: string): boolean => {
    this.#release = this.#host.backend.onSignal(signal, () => {
      this.#caught += 1;
      this.#say({ caught: this.#caught });
    });
    return true;
  };

  release = (): boolean => {
    this.#release();
    return true;
  };

  // A child of its own.

  spawn = async (env: Readonly<Record<string, string>>): Promise<number> => {
    const { backend, program } = this.#host;
    const request = { command: program, cwd: backend.facts.realCwd, env, fds: [] };
    this.#peer = new Peer(await backend.spawn(request));
    await this.#peer.ask("facts");
    this.#channel.keepAlive(false);
    this.#peer.process.channel.keepAlive(false);
    void this.#peer.status.then((status) => this.#say({ status }));
    return this.#peer.process.pid;
  };

  letPeerGo = (): void => this.#peer?.process.keepAlive(false);

  /** Outlives its parent. */
  stay = (): void => this.#host.stay();

  /** Once its parent is another one: tells a third process by a signal, and ends. */
  mourn = (third: number): void => {
    const { backend } = this.#host;
    const parent = backend.parentPid();
    const look = () => {
      if (backend.parentPid() === parent) setTimeout(look, 1);
      else {
        backend.kill(third, "SIGHUP");
        this.#host.exit(0);
      }
    };
    look();
  };

  // Servers.

  adopt = async ([kind, target]: readonly [string, ListenTarget]): Promise<unknown> => {
    this.#listener = await kindOf(kind).listen(
      this.#host.backend,
      target,
      () => void (this.#served += 1),
    );
    return { fd: this.#listener.fd, bound: this.#listener.bound };
  };

  open = async (): Promise<boolean> => {
    await this.#listener?.open();
    return true;
  };

  /** How many requests it has served, after some turns of its loop. */
  served = async (): Promise<number> => {
    await turns();
    return this.#served;
  };

  letGo = (): boolean => {
    this.#listener?.close();
    return true;
  };

  finish = (): boolean => {
    this.#listener?.finish();
    return true;
  };

  mayBeChannel = (fd: number): boolean => this.#host.backend.mayBeChannel(fd);

  closeFd = (fd: number): boolean => {
    this.#host.backend.closeFd(fd);
    return true;
  };
}
