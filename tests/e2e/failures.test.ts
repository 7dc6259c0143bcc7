// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import type { ServerConfig } from "../fixtures/server.ts";
import { ask, Chain, countDescriptors, isRunning, serverScript, until } from "../support/chain.ts";
import { current } from "../support/runtimes.ts";

const runtime = current();

async function started(
  t: TestContext,
  config: ServerConfig = {},
): Promise<{ chain: Chain; pid: number }> {
  const chain = new Chain({ runtime, config });
  t.after(() => chain.end());
  const { pid } = await chain.event("ready", 1);
  return { chain, pid };
}

/** After a failed upgrade the old process must serve as before, alone, and be able to upgrade. */
async function goesOn(chain: Chain, pid: number, descriptors: number): Promise<void> {
  assert.match((await chain.get()).text, new RegExp(`^1 .* ${pid}$`));
  const status = (await chain.get("/admin/status")).json;
  assert.equal(status.state, "serving");
  const children = chain.pids.filter((other) => other !== pid);
  await until("nothing of the child is left", () => children.every((child) => !isRunning(child)));
  await until("no descriptor is left", () => countDescriptors(pid) <= descriptors);
  const retry = await chain.get("/admin/upgrade", {
    command: runtime.command(serverScript),
    env: { CONFIG: JSON.stringify({}) },
  });
  assert.equal(retry.status, 200, retry.text);
  assert.match((await chain.get()).text, /^2 /);
}

const deaths: readonly {
  mode: NonNullable<ServerConfig["mode"]>;
  title: string;
  code: string;
  exitCode?: number;
  signal?: string;
  message: RegExp;
  options?: Record<string, unknown>;
}[] = [
  {
    mode: "exit-at-once",
    title: "exits at once",
    code: "ERR_CHILD_EXITED",
    exitCode: 7,
    message: /exited with code 7/,
  },
  {
    mode: "exit-in-init",
    title: "exits while it initialises",
    code: "ERR_CHILD_EXITED",
    exitCode: 3,
    message: /exited with code 3/,
  },
  {
    mode: "throw",
    title: "throws",
    code: "ERR_CHILD_FAILED",
    message: /the database is not there/,
  },
  {
    mode: "fail-listen",
    title: "cannot listen on another address",
    code: "ERR_CHILD_EXITED",
    exitCode: 4,
    message: /exited with code 4/,
  },
  {
    mode: "garbage",
    title: "does not keep to the protocol",
    code: "ERR_PROTOCOL",
    message: /not JSON/,
  },
  {
    mode: "never-ready",
    title: "never becomes ready",
    code: "ERR_UPGRADE_TIMEOUT",
    message: /was not ready within upgradeTimeoutMs/,
    options: { upgradeTimeoutMs: 1500 },
  },
  {
    mode: "block",
    title: "blocks its event loop",
    code: "ERR_UPGRADE_TIMEOUT",
    message: /was not ready within upgradeTimeoutMs/,
    options: { upgradeTimeoutMs: 1500 },
  },
];

for (const { mode, title, code, exitCode, message, options } of deaths) {
  // Port 1 may be bound by root, which the tests may run as.
  if (mode === "fail-listen" && process.getuid?.() === 0) continue;
  test(`the old process goes on and the caller is told ${code} when the child ${title}`, {
    timeout: 60_000,
  }, async (t) => {
    const { chain, pid } = await started(t, {
      mode,
      ...(options === undefined ? {} : { options }),
    });
    await chain.get();
    const descriptors = countDescriptors(pid);
    const { status, json, text } = await chain.get("/admin/upgrade", {});
    assert.equal(status, 500, text);
    assert.equal(json.code, code, text);
    assert.match(json.message, message);
    if (exitCode !== undefined) assert.equal(json.exitCode, exitCode);
    if (mode === "throw") {
      assert.match(json.childOutput, /the database is not there[\s\S]*server\.ts/);
    }
    await goesOn(chain, pid, descriptors);
  });
}

test("the old process goes on when the child is killed", { timeout: 60_000 }, async (t) => {
  const { chain, pid } = await started(t, { mode: "never-ready" });
  await chain.get();
  const descriptors = countDescriptors(pid);
  const upgrade = chain.get("/admin/upgrade", {});
  const child = await chain.event("waiting", 2);
  process.kill(child.pid, "SIGKILL");
  const { json } = await upgrade;
  assert.equal(json.code, "ERR_CHILD_EXITED");
  assert.equal(json.signal, "SIGKILL");
  await goesOn(chain, pid, descriptors);
});

test("a child that is stopped past the deadline is ended and the old process goes on", {
  timeout: 60_000,
}, async (t) => {
  const { chain, pid } = await started(t, {
    mode: "never-ready",
    options: { upgradeTimeoutMs: 2000 },
  });
  await chain.get();
  const descriptors = countDescriptors(pid);
  const upgrade = chain.get("/admin/upgrade", {});
  const child = await chain.event("waiting", 2);
  process.kill(child.pid, "SIGSTOP");
  assert.equal((await upgrade).json.code, "ERR_UPGRADE_TIMEOUT");
  await goesOn(chain, pid, descriptors);
});

test("no connection is lost when the child exits after listen and before ready, under load", {
  timeout: 60_000,
}, async (t) => {
  const { chain, pid } = await started(t, {
    mode: "exit-after-listen",
    main: "native",
    listen: [{ port: 0, name: "net" }],
  });
  const target = chain.address("net");
  const descriptors = countDescriptors(pid);
  let running = true;
  const answers: string[] = [];
  const client = async () => {
    while (running) {
      answers.push(await ask(target));
      answers.push((await chain.get("/", undefined, "native")).text.slice(0, 1));
    }
  };
  const clients = Promise.all(Array.from({ length: 8 }, client));
  try {
    for (let round = 0; round < 3; round++) {
      const { json } = await chain.get("/admin/upgrade", {});
      assert.equal(json.code, "ERR_CHILD_EXITED");
      assert.equal(json.exitCode, 5);
    }
  } finally {
    running = false;
  }
  await clients;
  assert.ok(answers.length > 50, `${answers.length} answers`);
  assert.deepEqual(
    [...new Set(answers)],
    ["1"],
    "every connection was answered by the old process",
  );
  await until(
    "the clients' connections are closed",
    () => countDescriptors(pid) <= descriptors + 2,
  );
});

const commands: readonly { title: string; body: (folder: string) => object; message: RegExp }[] = [
  {
    title: "the program does not exist",
    body: () => ({ command: ["/nonexistent/node", "x"] }),
    message: /\/nonexistent\/node/,
  },
  {
    title: "the program is on no folder of PATH",
    body: () => ({ command: ["no-such-program-here"] }),
    message: /PATH/,
  },
  {
    title: "the script does not exist",
    body: () => ({ command: runtime.command("/nonexistent/server.ts") }),
    message: /\/nonexistent\/server\.ts/,
  },
  {
    title: "the working directory does not exist",
    body: () => ({ cwd: "/nonexistent" }),
    message: /working directory/,
  },
  {
    title: "the program may not be executed",
    body: (folder) => ({ command: [join(folder, "plain")] }),
    message: /plain/,
  },
];

for (const { title, body, message } of commands) {
  test(
    `nothing is started and the caller is told ERR_SPAWN when ${title}`,
    { timeout: 60_000 },
    async (t) => {
      const folder = mkdtempSync(join(tmpdir(), "co-"));
      t.after(() => rmSync(folder, { recursive: true }));
      writeFileSync(join(folder, "plain"), "not a program", { mode: 0o644 });
      const { chain, pid } = await started(t);
      await chain.get();
      const descriptors = countDescriptors(pid);
      const { json, text } = await chain.get("/admin/upgrade", body(folder));
      assert.equal(json.code, "ERR_SPAWN", text);
      assert.match(json.message, message);
      await goesOn(chain, pid, descriptors);
    },
  );
}

test(
  "the caller is told ERR_CHILD_FAILED when the successor cannot write its PID file, and the old one keeps it",
  { timeout: 60_000 },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "co-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const pidFile = join(folder, "run", "app.pid");
    const { mkdirSync, readFileSync } = await import("node:fs");
    mkdirSync(join(folder, "run"));
    const { chain, pid } = await started(t, { options: { pidFile } });
    assert.equal(readFileSync(pidFile, "utf8").trim(), String(pid));
    const options = { pidFile: join(folder, "gone", "app.pid") };
    const { json, text } = await chain.get("/admin/upgrade", {
      env: { CONFIG: JSON.stringify({ options }) },
    });
    assert.equal(json.code, "ERR_CHILD_FAILED", text);
    assert.match(json.message, /gone/);
    assert.equal(readFileSync(pidFile, "utf8").trim(), String(pid));
    const { json: report } = await chain.get("/admin/upgrade", {});
    await chain.event("exit", 1);
    assert.equal(
      readFileSync(pidFile, "utf8").trim(),
      String(report.pid),
      "when the old one leaves, the file names the new one",
    );
  },
);

test(
  "a child that dies in its probation is rolled back with ERR_ROLLED_BACK, and the next one is kept",
  { timeout: 60_000 },
  async (t) => {
    const options = { probationMs: 700 };
    const { chain, pid } = await started(t, { mode: "exit-after-ready", options });
    await chain.get();
    const descriptors = countDescriptors(pid);
    const { json, text } = await chain.get("/admin/upgrade", {});
    assert.equal(json.code, "ERR_ROLLED_BACK", text);
    assert.equal(json.exitCode, 9);
    await goesOn(chain, pid, descriptors);
  },
);
