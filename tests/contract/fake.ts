/**
 * The backend in memory, with children that run the same program as the real ones.
 *
 * @module
 */

import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type Fake, fakeBackend, type FakeChild } from "../../src/testing/mod.ts";
import { play } from "./child.ts";
import { memoryKinds } from "./kinds.ts";
import type { Host, World } from "./world.ts";

/** What memory does not have. */
export const fakeLimits: World["cannot"] = {
  network: "a server in memory has no socket, so nobody can connect to it",
  flags: "a descriptor in memory has no flags",
  zombies: "a process in memory is reaped in the moment in which it ends",
  permissions: "an address in memory belongs to every machine and user",
};

function fakeHost(fake: Fake, exit: (code: number) => void): Host {
  return {
    backend: fake.backend,
    program: [process.execPath, "the program of child.ts"],
    descriptors: () =>
      new Map(fake.descriptors.map((line) => {
        const space = line.indexOf(" ");
        return [Number(line.slice(0, space)), line.slice(space + 1)];
      })),
    flags() {
      throw new Error(fakeLimits.flags);
    },
    stay() {},
    exit,
    crash: (_how, message) => void fake.crash(new Error(message)),
  };
}

/** The world of a test. */
export function fakeWorld(): Promise<World & AsyncDisposable> {
  const children = new Map<number, FakeChild>();
  const fake = fakeBackend({
    onSpawn(child) {
      children.set(child.pid, child);
      // It begins in a later tick, as a real one does.
      queueMicrotask(() => void play(fakeHost(child.fake, (code) => void child.exit(code))));
    },
  });
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "contract-")));
  const undoes: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  return Promise.resolve({
    ...fakeHost(fake, () => {}),
    name: "in memory",
    cannot: fakeLimits,
    kinds: memoryKinds,
    env: { PATH: "/usr/bin:/bin" },
    folder,
    openFile: () => fake.openFile("a file"),
    pass: (ms) => fake.clock.advance(ms),
    async endIdle(pid) {
      await fake.settle();
      const child = children.get(pid);
      if (child?.status === undefined && child?.fake.keptAliveBy.length === 0) await child.exit(0);
    },
    after: (undo) => void undoes.push(undo),
    async [Symbol.asyncDispose]() {
      for (const undo of undoes.reverse()) await undo();
    },
  });
}
