/**
 * A child as its parent sees it.
 *
 * @module
 */

import type { ExitStatus, SpawnedProcess, SpawnRequest } from "../../src/backend/backend.ts";
import type { Command } from "./child.ts";
import { Inbox } from "./inbox.ts";
import type { World } from "./world.ts";

/** A process that runs the program of `child.ts`, or any other. */
export class Peer {
  /** What `spawn` gave. */
  readonly process: SpawnedProcess;
  /** What it says. */
  readonly inbox: Inbox;
  /** How it ended. */
  readonly status: Promise<ExitStatus>;
  /** Everything that was told of its end. */
  readonly statuses: ExitStatus[] = [];

  constructor(process: SpawnedProcess) {
    this.process = process;
    this.inbox = new Inbox(process.channel);
    this.status = new Promise((resolve) =>
      process.onExit((status) => {
        this.statuses.push(status);
        resolve(status);
      })
    );
  }

  /** Starts a child that ends with the promise at the latest. */
  static async start(world: World, request: Partial<SpawnRequest> = {}): Promise<Peer> {
    const peer = new Peer(
      await world.backend.spawn({
        command: world.program,
        cwd: world.folder,
        env: world.env,
        fds: [],
        ...request,
      }),
    );
    world.after(() => {
      peer.process.kill("SIGKILL");
      return peer.status;
    });
    return peer;
  }

  /** Tells it what to do. */
  tell(...command: Command): void {
    this.write(new TextEncoder().encode(`${JSON.stringify(command)}\n`));
  }

  /** Sends it bytes. */
  write(bytes: Uint8Array): void {
    this.process.channel.write(bytes);
  }

  /** What it says next. */
  // deno-lint-ignore no-explicit-any -- what the commands answer
  async next(): Promise<any> {
    const line = await this.inbox.line();
    if (line === undefined) throw new Error("The child ended instead of answering");
    return JSON.parse(line);
  }

  /** Tells it what to do and waits for the answer. */
  // deno-lint-ignore no-explicit-any -- what the commands answer
  ask(...command: Command): Promise<any> {
    this.tell(...command);
    return this.next();
  }
}
