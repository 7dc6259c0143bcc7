// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { startLoad } from "../../bench/load/load.ts";
import type { AdoptionConfig } from "../fixtures/adoption.ts";
import { Chain, isRunning, type Said, until } from "../support/chain.ts";
import { current, testPairs, type TestRuntime } from "../support/runtimes.ts";

const script = fileURLToPath(new URL("../fixtures/adoption.ts", import.meta.url));

function start(runtime: TestRuntime, config: AdoptionConfig = {}): Chain {
  return new Chain({ runtime, script, env: { CONFIG: JSON.stringify(config) } });
}

/** Waits until a generation is ready; one that fails says why at once. */
async function ready(chain: Chain, generation: number): Promise<Said> {
  const find = (event: string) =>
    chain.said.find((said) => said.event === event && said.generation === generation);
  await until("a generation is ready", () => (find("ready") ?? find("error")) !== undefined);
  assert.equal(find("error"), undefined);
  return find("ready") as Said;
}

/** Replaces the newest generation. @returns What the new one said. */
async function replace(chain: Chain, runtime: TestRuntime, generation: number): Promise<Said> {
  const answer = await chain.get("/", { command: runtime.command(script) });
  assert.equal(answer.status, 200, answer.text + chain.errors);
  return await ready(chain, generation);
}

testPairs(
  "500 new connections a second are all answered while a process full of other sockets, with listeners that come and go, is replaced",
  async ({ parent, child }) => {
    const chain = start(parent, { pairs: 500, files: 1500, churn: true });
    try {
      await ready(chain, 1);
      const loads = ["native", "node"].map((name) => {
        const { port } = chain.address(name) as { port: number };
        return startLoad({ target: { port, hostname: "127.0.0.1" }, proberMs: 4 });
      });
      const answeredBy = (generation: string) =>
        until(`generation ${generation} has answered on both`, () =>
          loads.every((load) => {
            const { prober } = load.snapshot();
            return (prober?.lost ?? 0) > 0 ||
              prober?.identities.some(({ identity }) => identity === generation) === true;
          }));
      await answeredBy("1");
      const second = await replace(chain, child, 2);
      assert.ok(second.listeners > 0, "other listeners have come and gone meanwhile");
      await chain.event("exit", 1);
      await answeredBy("2");
      assert.equal((await chain.event("drained", 1)).cut, 0);
      for (const load of loads) {
        const { prober, consistent } = await load.stop();
        assert.deepEqual([prober?.lost, prober?.lossKinds, consistent], [0, {}, true]);
      }
    } finally {
      await chain.end();
    }
  },
);

/** Inodes of all sockets on which this machine listens. */
function listeningInodes(): Set<string> {
  const rows = ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, "utf8").split("\n").map((line) => line.trim().split(/\s+/))
  );
  return new Set(rows.filter((row) => row[3] === "0A").map((row) => row[9] as string));
}

/** What a process still has of listening sockets other than those it alone has: descriptors and registrations. */
function remains(pid: number, shared: ReadonlySet<string>): string[] {
  const found: string[] = [];
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const link = readlinkSync(`/proc/${pid}/fd/${fd}`);
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    if (inode !== undefined && shared.has(inode)) found.push(`descriptor ${fd}`);
    if (link !== "anon_inode:[eventpoll]") continue;
    const info = readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8");
    for (const [, tfd, hex = ""] of info.matchAll(/^tfd:\s*(\d+).*\bino:\s*([0-9a-f]+)/gm)) {
      if (shared.has(String(parseInt(hex, 16)))) found.push(`registration of ${tfd} in ${fd}`);
    }
  }
  return found;
}

/** The listening sockets that a process has. */
function listenersOf(pid: number): Set<string> {
  const listening = listeningInodes();
  const own = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
    return inode !== undefined && listening.has(inode) ? [inode] : [];
  });
  return new Set(own);
}

/** Processor time of a process so far. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // utime and stime, fields 14 and 15, in ticks of 10 ms (USER_HZ); the name in field 2 may contain blanks.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** A connection that stays open. */
function hold(port: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: "127.0.0.1" });
    socket.on("error", reject);
    socket.once("data", () => resolve(socket));
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  });
}

/** Whether nobody listens on a port. */
function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: "127.0.0.1" });
    socket.on("error", (error) => resolve((error as { code?: string }).code === "ECONNREFUSED"));
    socket.on("connect", () => {
      socket.destroy();
      resolve(false);
    });
  });
}

const linux = process.platform !== "linux" && "needs /proc";

test(
  "an old process that keeps a connection has nothing left of the sockets, does not spin, and its port dies with the successor",
  {
    skip: linux,
    timeout: 60_000,
  },
  async () => {
    const runtime = current();
    const chain = start(runtime, { idleGraceMs: 60_000 });
    const held: net.Socket[] = [];
    try {
      const first = await ready(chain, 1);
      const ports = ["native", "node"].map((name) =>
        (chain.address(name) as { port: number }).port
      );
      const holdAll = async () => {
        for (const port of ports) held.push(await hold(port));
      };
      await holdAll();
      // The second generation has adopted its sockets, the first one has bound them.
      const second = await replace(chain, runtime, 2);
      await chain.event("exit", 1);
      await holdAll();
      const third = await replace(chain, runtime, 3);
      await chain.event("exit", 2);

      const shared = listenersOf(third.pid);
      assert.equal(shared.size, 3 + 1, "three servers and the one for peers");
      await sleep(300); // the ends of the upgrades are not to be measured
      const before = [first, second].map(({ pid }) => cpuMs(pid));
      await sleep(1000);
      for (const [index, { pid, generation }] of [first, second].entries()) {
        const used = cpuMs(pid) - (before[index] ?? 0);
        assert.ok(used < 200, `generation ${generation} used ${used} ms of one idle second`);
        assert.deepEqual(remains(pid, shared), [], `generation ${generation}`);
      }

      process.kill(third.pid, "SIGKILL");
      await until("the successor is gone", () => !isRunning(third.pid));
      // A zombie's other threads may hold the sockets a moment longer.
      for (const port of ports) await until("nobody listens", () => refuses(port));
      assert.ok([first, second].every(({ pid }) => isRunning(pid)), "the old ones still drain");
      assert.ok(held.every(({ destroyed, readableEnded }) => !destroyed && !readableEnded));
    } finally {
      for (const socket of held) socket.destroy();
      await chain.end();
    }
  },
);

const UPGRADES = 10;

test(`${UPGRADES} upgrades in a row lose nobody, and the descriptors do not grow`, {
  skip: linux,
  timeout: 60_000,
}, async () => {
  const runtime = current();
  const chain = start(runtime);
  try {
    await ready(chain, 1);
    const loads = ["native", "node"].map((name) => {
      const { port } = chain.address(name) as { port: number };
      return startLoad({ target: { port, hostname: "127.0.0.1" }, proberMs: 4 });
    });
    const counts: number[] = [];
    for (let generation = 2; generation <= UPGRADES + 1; generation++) {
      const { pid } = await replace(chain, runtime, generation);
      await chain.event("drained", generation - 1);
      await until("the old process is gone", () => !isRunning(chain.pids.at(-2) ?? 0));
      counts.push(listenersOf(pid).size);
    }
    for (const load of loads) {
      const { prober, consistent } = await load.stop();
      assert.deepEqual([prober?.lost, prober?.lossKinds, consistent], [0, {}, true]);
    }
    // Three servers and the one for peers; descriptors of connections come and go, listening ones do not.
    assert.deepEqual(counts, counts.map(() => 4));
  } finally {
    await chain.end();
  }
});
