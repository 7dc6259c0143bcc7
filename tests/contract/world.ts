/**
 * What the promises of a backend are told in: the words that the fake and the real ones have in common.
 *
 * @module
 */

import type { Backend } from "../../src/backend/backend.ts";
import type { Kind } from "./kinds.ts";

/** What a promise needs that not every world has. */
export type Need = "network" | "flags" | "zombies" | "permissions" | "IPv6";

/** One process, as its backend and the test see it. */
export interface Host {
  /** What is under test. */
  readonly backend: Backend;
  /** The command line that starts the program of `child.ts`. */
  readonly program: readonly string[];
  /** Open descriptors from 3 on, and what each stands for: equal texts are one open socket or file. */
  descriptors(): ReadonlyMap<number, string>;
  /** Whether a descriptor is non-blocking and close-on-exec. */
  flags(fd: number): { readonly nonBlocking: boolean; readonly closeOnExec: boolean };
  /** Keeps this process alive. */
  stay(): void;
  /** Ends this process. */
  exit(code: number): void;
  /** Lets this process die of an error that nobody caught, or of a rejection that nobody handled. */
  crash(how: "error" | "rejection", message: string): void;
}

/** The process that runs the test, and what surrounds it. */
export interface World extends Host {
  /** For titles. */
  readonly name: string;
  /** Why something that a promise needs cannot be had here. */
  readonly cannot: Readonly<Partial<Record<Need, string>>>;
  /** The environment that a child needs. */
  readonly env: Readonly<Record<string, string>>;
  /** The kinds of servers that there are. */
  readonly kinds: readonly Kind[];
  /** A folder for this promise alone. */
  readonly folder: string;
  /** Opens a descriptor that is no socket. */
  openFile(): number;
  /** Lets the time of the backend's clock go on. */
  pass(ms: number): Promise<void>;
  /** Where a process that nothing keeps alive does not end by itself: ends it, unless something keeps it. */
  endIdle(pid: number): Promise<void>;
  /** What is to be undone after the promise, last thing first. */
  after(undo: () => unknown): void;
}

/** One thing that every backend does. */
export interface Clause {
  /** The promise. */
  readonly title: string;
  /** What it takes to see it. */
  readonly needs?: readonly Need[];
  /** Sees that it is kept. */
  run(world: World): Promise<void>;
}

/** Lets the event loop turn, so that what is due has happened. */
export async function turns(count = 5): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** Waits for something that no event tells. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`This did not come true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Bytes in which every displacement shows. */
export function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * 7) & 255);
}
