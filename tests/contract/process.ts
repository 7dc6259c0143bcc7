/**
 * Promises about this process, others, and time.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { Peer } from "./peer.ts";
import { type Clause, turns, until, type World } from "./world.ts";

/** More than any system gives (`PID_MAX_LIMIT` of Linux is 2^22). */
const NOBODY = 2 ** 22 + 1;

/** The number of a process that has ended and that nobody reaps. */
async function zombie(world: World): Promise<number> {
  // After exec the shell's child has a parent that does not know of it.
  const parent = spawn("sh", ["-c", "sleep 60 & echo $!; exec sleep 60"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => parent.once("exit", resolve));
  world.after(() => {
    parent.kill("SIGKILL");
    return ended;
  });
  const pid = Number(await new Promise((resolve) => parent.stdout.once("data", resolve)));
  const stat = (of: number | undefined) => readFileSync(`/proc/${of}/stat`, "utf8");
  await until(() => stat(parent.pid).includes("(sleep)"), "the shell is gone");
  process.kill(pid, "SIGKILL");
  await until(() => stat(pid).includes(") Z "), "the process ends and is not reaped");
  return pid;
}

/** Facts. */
export const processClauses: readonly Clause[] = [
  {
    title: "the backend knows its runtime, and a child sees the same process as its parent does",
    async run(world) {
      const { backend } = world;
      assert.match(backend.runtime, /^(?:node|deno|bun)$/);
      assert.match(backend.version, /^\d+\.\d+\.\d+/);
      const child = await Peer.start(world);
      const facts = await child.ask("facts");
      assert.equal(facts.pid, child.process.pid);
      assert.equal(facts.parentPid, backend.pid);
      assert.equal(facts.startedAt, backend.startedAt(child.process.pid));
    },
  },
  {
    title: "isAlive() and startedAt() know this process, a child while it lives, and nobody",
    async run(world) {
      const { backend } = world;
      const child = await Peer.start(world);
      const { pid } = child.process;
      assert.equal(backend.isAlive(backend.pid), true);
      assert.equal(backend.isAlive(pid), true);
      assert.equal(backend.isAlive(NOBODY), false);
      assert.equal(typeof backend.startedAt(pid), "string");
      assert.equal(backend.startedAt(pid), backend.startedAt(pid));
      assert.equal(backend.startedAt(NOBODY), undefined);
      child.process.kill("SIGKILL");
      await child.status;
      assert.equal(backend.isAlive(pid), false);
      assert.equal(backend.startedAt(pid), undefined);
    },
  },
  {
    title: "a process that has ended is not alive, even when nobody has reaped it",
    needs: ["zombies"],
    async run(world) {
      const pid = await zombie(world);
      assert.equal(process.kill(pid, 0), true, "to the system it exists");
      assert.equal(world.backend.isAlive(pid), false);
    },
  },
  {
    title: "kill() sends a signal and says whether there was anybody to take it",
    async run(world) {
      const { backend } = world;
      const child = await Peer.start(world);
      await child.ask("facts");
      assert.equal(backend.kill(child.process.pid, "SIGTERM"), true);
      assert.deepEqual(await child.status, { code: null, signal: "SIGTERM" });
      assert.equal(backend.kill(child.process.pid, "SIGTERM"), false);
      assert.equal(backend.kill(NOBODY, "SIGTERM"), false);
    },
  },
  {
    title: "parentPid() is told as it is now: another one once the parent is gone",
    async run(world) {
      const { backend } = world;
      const told = new Promise<void>((resolve) => world.after(backend.onSignal("SIGHUP", resolve)));
      const parent = await Peer.start(world);
      const first = JSON.stringify(["mourn", backend.pid]);
      const pid = await parent.ask("spawn", { ...world.env, CONTRACT_FIRST: first });
      world.after(() => backend.kill(pid, "SIGKILL"));
      parent.process.kill("SIGKILL");
      await told;
      await until(() => !backend.isAlive(pid), "the child of the child ends");
    },
  },
  {
    title: "timers run in the order in which they are due, each once",
    async run(world) {
      const { clock } = world.backend;
      const order: number[] = [];
      const before = clock.now();
      const last = new Promise<void>((resolve) => {
        for (const ms of [40, 0, 20]) {
          clock.after(ms, () => {
            order.push(ms);
            if (ms === 40) resolve();
          });
        }
      });
      await world.pass(60);
      await last;
      assert.deepEqual(order, [0, 20, 40]);
      assert.ok(clock.now() > before, "the clock goes on");
    },
  },
  {
    title: "a timer that was taken back does not run; taking it back again, or late, is harmless",
    async run(world) {
      const { clock } = world.backend;
      const ran: string[] = [];
      const dispose = clock.after(10, () => void ran.push("taken back"));
      const other = new Promise<() => void>((resolve) => {
        const own = clock.after(20, () => {
          ran.push("left alone");
          resolve(own);
        });
      });
      dispose();
      dispose();
      await world.pass(60);
      (await other)();
      await turns();
      assert.deepEqual(ran, ["left alone"]);
    },
  },
  {
    title: "a timer does not keep the process alive",
    async run(world) {
      const child = await Peer.start(world);
      await child.ask("setTimer", 3_600_000);
      child.tell("close");
      await world.endIdle(child.process.pid);
      assert.deepEqual(await child.status, { code: 0, signal: null });
    },
  },
];
