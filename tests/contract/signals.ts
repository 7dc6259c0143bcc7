/**
 * Promises about signals and fatal errors.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Peer } from "./peer.ts";
import { type Clause, turns } from "./world.ts";

/** Signals. */
export const signalClauses: readonly Clause[] = [
  {
    title: "a handler is called each time, and without it the signal does what it does by default",
    async run(world) {
      const child = await Peer.start(world);
      await child.ask("catch", "SIGHUP");
      for (const caught of [1, 2]) {
        child.process.kill("SIGHUP");
        assert.deepEqual(await child.next(), { caught });
      }
      await child.ask("release");
      await child.ask("release");
      child.process.kill("SIGHUP");
      assert.deepEqual(await child.status, { code: null, signal: "SIGHUP" });
    },
  },
  {
    title: "a handler does not keep the process alive",
    async run(world) {
      const child = await Peer.start(world);
      await child.ask("catch", "SIGHUP");
      child.tell("close");
      await world.endIdle(child.process.pid);
      assert.deepEqual(await child.status, { code: 0, signal: null });
    },
  },
  {
    title: "the same handler may be installed twice, and each disposer takes out its own, once",
    async run(world) {
      const { backend } = world;
      let calls = 0;
      let wake = () => {};
      const handler = () => {
        calls += 1;
        wake();
      };
      const raise = async () => {
        const called = new Promise<void>((resolve) => void (wake = resolve));
        assert.equal(backend.kill(backend.pid, "SIGHUP"), true);
        await called;
        await turns();
      };
      const disposers = [
        backend.onSignal("SIGHUP", handler),
        backend.onSignal("SIGHUP", handler),
      ];
      for (const dispose of disposers) world.after(dispose);
      await raise();
      assert.equal(calls, 2);
      disposers[0]!();
      disposers[0]!();
      await raise();
      assert.equal(calls, 3);
    },
  },
  {
    title: "a signal that the system does not know is a TypeError",
    run(world) {
      assert.throws(() => world.backend.onSignal("SIGFUN", () => {}), TypeError);
      return Promise.resolve();
    },
  },
  ...(["error", "rejection"] as const).map((how): Clause => ({
    title: `${
      how === "error" ? "an error that nobody caught" : "a rejection that nobody handled"
    } is told before it ends the process`,
    async run(world) {
      const child = await Peer.start(world);
      child.tell("crash", how);
      assert.deepEqual(await child.next(), { message: "something unforeseen" });
      const { code, signal } = await child.status;
      assert.ok(code !== null && code !== 0, `it ended with ${code} ${signal}`);
    },
  })),
];
