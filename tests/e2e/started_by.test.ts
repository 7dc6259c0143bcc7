// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { Chain, isRunning, serverScript, until } from "../support/chain.ts";
import { current } from "../support/runtimes.ts";

const limit = { timeout: 120_000 };

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test(
  "a child that cannot even be loaded is explained by the end of standard error, where that is a file",
  limit,
  async (t) => {
    const where = folder(t);
    const errors = join(where, "errors");
    writeFileSync(errors, "from yesterday\n");
    const broken = join(where, "broken.ts");
    writeFileSync(broken, 'import "./is-not-there.ts";\n');
    const runtime = current();
    const chain = new Chain({
      runtime: {
        ...runtime,
        command: (...of: Parameters<typeof runtime.command>) => [
          "sh",
          "-c",
          'exec "$@" 2>>"$ERRORS"',
          "sh",
          ...runtime.command(...of),
        ],
      },
      env: { ERRORS: errors },
    });
    t.after(() => chain.end());
    await chain.event("ready", 1);
    const { status, json } = await chain.get("/admin/upgrade", {
      command: runtime.command(broken),
    });
    assert.equal(status, 500);
    assert.equal(json.code, "ERR_CHILD_EXITED");
    assert.match(json.childOutput, /is-not-there\.ts/);
    assert.doesNotMatch(json.childOutput, /from yesterday/);
    // It is the same standard error, and not a pipe of the parent's.
    assert.match(readFileSync(errors, "utf8"), /is-not-there\.ts/);
    assert.equal((await chain.get("/admin/upgrade", {})).json.generation, 2);
  },
);

/** What `npm start` printed. */
interface Started {
  readonly npm: ChildProcess;
  output: string;
}

test("npm start: a warning says what to change, and signals and command lines work as they are", {
  ...limit,
  skip: current().name === "node26" ? false : "which runtime npm starts makes no difference",
}, async (t) => {
  const where = folder(t);
  const command = current().command(serverScript).map((part) => JSON.stringify(part)).join(" ");
  writeFileSync(
    join(where, "package.json"),
    JSON.stringify({ name: "app", version: "1.0.0", scripts: { start: command } }),
  );
  const started: Started = {
    npm: spawn("npm", ["start", "--no-update-notifier"], {
      cwd: where,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", CONFIG: "{}" },
    }),
    output: "",
  };
  const pids = new Set<number>();
  t.after(async () => {
    for (const pid of [...pids, started.npm.pid ?? 0]) {
      try {
        if (pid > 1) process.kill(pid, "SIGKILL");
      } catch {
        // Gone already.
      }
    }
    await until("all have ended", () => [...pids].every((pid) => !isRunning(pid)), 30_000);
  });
  started.npm.stdout?.on("data", (chunk) => started.output += String(chunk));
  started.npm.stderr?.on("data", (chunk) => started.output += String(chunk));
  const ready = async (generation: number): Promise<number> => {
    const line = () =>
      started.output.split("\n").find((text) =>
        text.startsWith('{"event":"ready"') && text.includes(`"generation":${generation},`)
      );
    await until(`generation ${generation} is ready`, () => line() !== undefined, 60_000);
    const { pid } = JSON.parse(line() as string);
    pids.add(pid);
    return pid;
  };
  const first = await ready(1);
  assert.match(started.output, /warning: this process was started by npm, .*"changeover run --"/);
  process.kill(first, "SIGHUP");
  const second = await ready(2);
  assert.equal(started.output.match(/was started by npm/g)?.length, 1, "once");
  process.kill(second, "SIGTERM");
  await until("the second generation has ended", () => !isRunning(second), 30_000);
});
