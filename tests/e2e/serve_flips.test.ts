// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { once } from "node:events";
import process from "node:process";
import { startLoad, type Target as LoadTarget } from "../../bench/load/load.ts";
import { Asker } from "../support/askers.ts";
import { isRunning, until } from "../support/chain.ts";
import { testPairs } from "../support/runtimes.ts";
import { anyPort, Program } from "../support/served.ts";

/** Flips once, while `under` asks, and stops; `under` returns when the load has seen the second generation. */
async function flip(program: Program, under: (upgrade: () => Promise<void>) => Promise<void>) {
  const { chain } = program;
  try {
    const first = await chain.event("ready", 1);
    const ended = once(chain.first, "exit");
    await under(async () => {
      process.kill(first.pid, "SIGHUP");
      await chain.event("ready", 2);
    });
    const left = await chain.event("finished", 1);
    assert.equal(left["reason"], "upgraded");
    assert.equal(left["drain"].cut, 0);
    const second = await chain.event("ready", 2);
    assert.deepEqual(second["addresses"], first["addresses"], "the address is the same");
    const listens = chain.said.filter(({ event }) => event === "listen");
    assert.deepEqual(listens.map(({ pid }) => pid), [first.pid, second.pid], "once a generation");
    for (const listen of listens) assert.deepEqual([listen["address"]], first["addresses"]);
    assert.deepEqual(await ended, [0, null], "the parent ends by itself");
    process.kill(second.pid, "SIGTERM");
    assert.equal((await chain.event("finished", 2))["reason"], "stopped");
    await until("the child has ended by itself", () => !isRunning(second.pid));
  } finally {
    await program.end();
  }
}

async function flipUnderLoad(program: Program): Promise<void> {
  await flip(program, async (upgrade) => {
    const { target } = program;
    const load = startLoad({
      target: ("path" in target ? target : { port: target.port }) as LoadTarget,
      keepAlive: 4,
      oneShot: 3,
      post: 3,
      thinkMs: 2,
    });
    const answeredBy = (generation: string) =>
      until(
        `generation ${generation} answers`,
        () =>
          load.snapshot().prober?.identities.some(({ identity }) => identity === generation) ??
            false,
      );
    try {
      await answeredBy("1");
      await upgrade();
      await answeredBy("2");
    } finally {
      await load.stop();
    }
    const report = await load.done;
    assert.equal(report.lost, 0, JSON.stringify(report.lossKinds));
    assert.equal(report.prober?.lost, 0);
    assert.deepEqual(report.inconsistencies, []);
  });
}

testPairs("one call serves, and SIGHUP replaces it under load losing nothing", (pair) => {
  return flipUnderLoad(new Program(pair.parent, pair.child, anyPort));
});

testPairs("the same on a Unix socket", (pair) => {
  return flipUnderLoad(new Program(pair.parent, pair.child, { path: "app.sock", name: "web" }));
});

testPairs("the same with TLS", async ({ parent, child }) => {
  const program = new Program(parent, child, { ...anyPort, secure: true });
  await flip(program, async (upgrade) => {
    const asker = new Asker("https", program.target);
    const answeredBy = (generation: string) =>
      until(
        `generation ${generation} answers`,
        () => asker.asked.answers.includes(generation) || asker.asked.lost.length > 0,
      );
    try {
      await answeredBy("1");
      await upgrade();
      await answeredBy("2");
    } finally {
      await asker.stop();
    }
    assert.deepEqual(asker.asked.lost, []);
  });
});
