// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Chain, isRunning, until } from "../support/chain.ts";
import { current } from "../support/runtimes.ts";

const runtime = current();
const script = fileURLToPath(new URL("../fixtures/handed.ts", import.meta.url));
const limit = { timeout: 120_000 };
const NOBODY = 65534;
const mayBecomeNobody = process.getuid?.() === 0 &&
  spawnSync("setpriv", [`--reuid=${NOBODY}`, "--clear-groups", "true"]).status === 0;

async function started(t: TestContext, options: Record<string, unknown> = {}): Promise<Chain> {
  const chain = new Chain({ runtime, script, config: { options } });
  t.after(() => chain.end());
  await chain.event("ready", 1);
  return chain;
}

/** An upgrade whose child hands the channel to a stranger. */
const upgrade = (chain: Chain, handed: string, config: object = {}) =>
  chain.get("/admin/upgrade", {
    command: runtime.command(script),
    env: {
      HANDED: handed,
      CONFIG: JSON.stringify(config),
      ...(mayBecomeNobody ? { HANDED_USER: String(NOBODY) } : {}),
    },
  });

/** Nothing has happened to it, and it can be replaced. */
async function goesOn(chain: Chain): Promise<void> {
  assert.match((await chain.get()).text, /^1 /);
  const { status, text } = await upgrade(chain, "nothing");
  assert.equal(status, 200, text + chain.errors);
  assert.equal((await chain.event("exit", 1)).reason, "upgraded");
  assert.match((await chain.get()).text, /^2 /);
}

const whose = mayBecomeNobody ? "of another user" : "of the same user, not being root";

test(
  `a process (${whose}) that was handed the channel and says something fails the upgrade, and nothing else`,
  limit,
  async (t) => {
    const chain = await started(t);
    const { status, json } = await upgrade(chain, "speaks");
    assert.equal(status, 500);
    assert.equal(json.code, "ERR_PROTOCOL", json.message);
    if (mayBecomeNobody) assert.equal((await chain.event("stranger"))["user"], NOBODY);
    await goesOn(chain);
  },
);

test(
  `a process (${whose}) that keeps the channel of a child that has died hides nothing from the parent`,
  limit,
  async (t) => {
    const chain = await started(t);
    const { status, json } = await upgrade(chain, "keeps", { mode: "exit-in-init" });
    assert.equal(status, 500);
    assert.deepEqual([json.code, json.exitCode], ["ERR_CHILD_EXITED", 3], json.message);
    const { pid } = await chain.event("stranger");
    assert.ok(isRunning(pid), "it holds the channel still");
    await goesOn(chain);
  },
);

test(
  "the same program, started by a child with its channel and its variable, is a first generation, and the upgrade succeeds",
  limit,
  async (t) => {
    const chain = await started(t);
    const upgraded = upgrade(chain, "serves", { mode: "slow-init" });
    const child = await chain.event("initialising", 2);
    const { pid } = await chain.event("stranger");
    await until(
      "the stranger serves",
      () =>
        chain.said.some((said) =>
          said.event === "ready" && said.generation === 1 && said.pid === pid
        ),
    );
    assert.match(chain.errors, /was meant for another process .* and is ignored/);
    process.kill(child.pid, "SIGUSR2");
    const { status, text } = await upgraded;
    assert.equal(status, 200, text + chain.errors);
    // It holds a copy of the channel, and still the child learns that its parent is gone.
    await chain.event("alone", 2);
    await chain.event("drained", 1);
  },
);

const seen = `
for path in /proc/$1/fd /proc/$1/environ /proc/$1/fd/3 /proc/$1/mem; do
  { ls $path/ || cat $path; } >/dev/null 2>&1 && echo "reads $path"
done
kill -HUP $1 2>/dev/null && echo "signals $1"
exit 0
`;

test(
  "another user's process finds neither the channel nor a socket that it may connect to, in the middle of an upgrade",
  {
    ...limit,
    skip: mayBecomeNobody ? false : "not root: nobody else can be had",
  },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "co-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const control = join(folder, "c.sock");
    const chain = await started(t, { control });
    const upgraded = upgrade(chain, "nothing", { mode: "slow-init", options: { control } });
    const first = await chain.event("ready", 1);
    const child = await chain.event("initialising", 2);
    for (const { pid } of [first, child]) {
      const { stdout, stderr } = spawnSync(
        "setpriv",
        [`--reuid=${NOBODY}`, "--clear-groups", "sh", "-c", seen, "sh", String(pid)],
        { encoding: "utf8" },
      );
      assert.equal(stdout + stderr, "");
      // In a folder of its own, which nobody else may enter, before it was renamed.
      assert.deepEqual(namesOf(pid).filter((name) => !name.startsWith(`${folder}/.co-`)), []);
    }
    process.kill(child.pid, "SIGUSR2");
    assert.equal((await upgraded).status, 200);
    assert.match((await chain.get()).text, /^2 /);
  },
);

/** Under which names the Unix sockets of a process can be connected to. */
function namesOf(pid: number): string[] {
  const held = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return ""; // closed meanwhile
    }
  });
  return readFileSync("/proc/net/unix", "utf8").split("\n").flatMap((line) => {
    const [, inode, name] = /^\S+: \S+ \S+ \S+ \S+ \S+ +(\d+) (.+)$/.exec(line) ?? [];
    return name !== undefined && held.includes(`socket:[${inode}]`) ? [name] : [];
  });
}
