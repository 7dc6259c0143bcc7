// Runs on: node26
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { Chain, isRunning, serverScript, until } from "../support/chain.ts";
import type { TestRuntime } from "../support/runtimes.ts";
import { allPairs } from "./pairs.ts";
import { play } from "./play.ts";

const SOCKETS = 1000;

/** How many descriptors a process may have at most, as far as this user can raise it. */
function mostDescriptors(): number {
  const line = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
  return line?.[1] === "unlimited" ? Infinity : Number(line?.[1] ?? 0);
}

const isLinux = process.platform === "linux";
const tooFew = !isLinux
  ? "processes are looked at through /proc"
  : mostDescriptors() < SOCKETS + 200
  ? `only ${mostDescriptors()} files may be open here`
  : false;

// Each runtime once as parent and once as child.
for (const pair of allPairs.slice(3, 6)) {
  test(
    `${SOCKETS} listening sockets pass to the successor (${pair.title})`,
    {
      timeout: 240_000,
      skip: tooFew,
    },
    () =>
      play(
        { title: "nothing goes wrong", told: ["upgraded"], owner: "child", lost: "none" },
        pair,
        {
          more: SOCKETS,
        },
      ),
  );
}

/** The same runtime, where only so many files may be open. */
function limited(runtime: TestRuntime, files: number): TestRuntime {
  const command: TestRuntime["command"] = (script, args, flags) => [
    "prlimit",
    `--nofile=${files}:${files}`,
    ...runtime.command(script, args, flags),
  ];
  return { ...runtime, command };
}

function highest(pid: number): number {
  return Math.max(...readdirSync(`/proc/${pid}/fd`).map(Number).filter((fd) => fd < 250));
}

const ENDINGS = ["ERR_SPAWN", "ERR_CHILD_EXITED", "ERR_CHILD_FAILED", "ERR_ADOPT"];

for (const { parent: runtime } of allPairs.slice(0, 3)) {
  test(`whoever has hardly a descriptor left is told so, and goes on (${runtime.name})`, {
    timeout: 240_000,
    skip: isLinux ? false : "prlimit is Linux's",
  }, async (t) => {
    const free = new Chain({ runtime });
    t.after(() => free.end());
    const { pid } = await free.event("ready", 1);
    await free.get();
    const needed = highest(pid) + 1;
    await free.end();
    const outcomes: string[] = [];
    for (const left of [1, 2, 3, 8]) {
      // Its own command line is the limited one, without prlimit: the limit is inherited.
      const chain = new Chain({ runtime: limited(runtime, needed + left) });
      t.after(() => chain.end());
      const first = await Promise.race([
        chain.event("ready", 1),
        new Promise<undefined>((resolve) => chain.first.once("exit", () => resolve(undefined))),
      ]);
      // With so few even the first cannot start.
      if (first === undefined) continue;
      const { status, json } = await chain.get("/admin/upgrade", {
        command: runtime.command(serverScript),
      });
      outcomes.push(status === 200 ? "upgraded" : json.code);
      if (status === 200) {
        await until("the first is gone", () => !isRunning(first.pid));
        assert.match((await chain.get()).text, /^2 /);
      } else {
        assert.ok(ENDINGS.includes(json.code), JSON.stringify(json));
        assert.match((await chain.get()).text, new RegExp(`^1 .* ${first.pid}$`));
        assert.equal((await chain.get("/admin/status")).json.state, "serving");
      }
      await chain.end();
    }
    t.diagnostic?.(outcomes.join(", "));
    assert.ok(outcomes.includes("ERR_SPAWN"), outcomes.join(", "));
  });
}
