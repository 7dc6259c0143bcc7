// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { VERSION } from "../../src/cli/version.ts";
import type { ServerConfig } from "../fixtures/server.ts";
import { Chain, isRunning, until } from "../support/chain.ts";
import { changeover } from "../support/cli.ts";
import { current } from "../support/runtimes.ts";

// The program runs on the runtime of this test, and so do the services that it talks to.
const runtime = current();
const limit = { timeout: 120_000 };

const run = (...words: string[]) => changeover(runtime, words);

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "changeover-cli-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A service whose second generation is bad, if a mode is given. */
async function serviceOf(
  t: TestContext,
  options: Record<string, unknown>,
  mode?: ServerConfig["mode"],
): Promise<Chain> {
  const chain = new Chain({
    runtime,
    config: { options, ...(mode === undefined ? {} : { mode }) },
  });
  t.after(() => chain.end());
  await chain.event("ready");
  return chain;
}

test("the program starts, tells its version and teaches", limit, async () => {
  const [version, help, nothing] = await Promise.all([
    run("--version"),
    run("help", "stop"),
    run(),
  ]);
  assert.deepEqual(version, { code: 0, out: `${VERSION}\n`, err: "" });
  assert.deepEqual([help.code, help.err], [0, ""]);
  assert.match(help.out, /^changeover stop: .*\n\nUsage: /);
  assert.deepEqual([nothing.code, nothing.out], [2, ""]);
});

test("where nobody listens there is nothing to talk to", limit, async (t) => {
  const folder = folderOf(t);
  const path = (name: string) => join(folder, name);
  writeFileSync(path("file"), "");
  // A socket whose process is gone stays in the file system, and so does the PID file.
  writeFileSync(path("app.pid"), `${await leaveSocket(folder, path("stale"))}\n`);
  const cases: [string[], RegExp][] = [
    [["status", "--control", path("none")], /there is no such socket/],
    [
      ["upgrade", "--control", path("stale")],
      /nobody listens there; the process that made it is gone/,
    ],
    [["stop", "--control", path("file")], /it is no socket/],
    [["upgrade", "--pid-file", path("none")], /there is no PID file/],
    [["stop", "--pid-file", path("app.pid")], /there is no process \d+; .* is stale/],
    [["status", "--pid-file", path("app.pid"), "--json"], /is stale/],
  ];
  await Promise.all(cases.map(async ([words, why]) => {
    const { code, out, err } = await run(...words);
    assert.equal(code, 3, words.join(" "));
    assert.match(err, why);
    if (words.includes("--json")) assert.equal(JSON.parse(out).exitCode, 3);
    else assert.equal(out, "");
  }));
});

test(
  "who answers but is no service is told apart, and who never answers ends the wait with 4",
  limit,
  async (t) => {
    const folder = folderOf(t);
    const answers: Record<string, string | undefined> = {
      web: "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
      other: "220 mail.example ESMTP\r\n",
      half: "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
      silent: undefined,
    };
    for (const [name, answer] of Object.entries(answers)) {
      await listen(t, join(folder, name), (socket) => {
        if (answer !== undefined) socket.end(answer);
      });
    }
    const at = (name: string) => ["--control", join(folder, name)];
    const cases: [string[], number, RegExp][] = [
      [["status", ...at("web")], 3, /what answers is no service of this kind \(status 404\)/],
      [["status", ...at("other")], 3, /what answers is not HTTP/],
      [["upgrade", ...at("half")], 3, /the connection ended before the answer did/],
      [["status", ...at("silent"), "-t", "300ms"], 4, /timed out: .* not answered within 300 ms/],
      [
        ["upgrade", ...at("silent"), "-t", "300ms"],
        4,
        /has not answered, and was not asked to upgrade/,
      ],
      [["status", "--watch", ...at("silent"), "-t", "300ms"], 3, /no answer within 300 ms/],
    ];
    await Promise.all(cases.map(async ([words, code, why]) => {
      const ended = await run(...words);
      assert.equal(ended.code, code, `${words.join(" ")}: ${ended.err}`);
      assert.match(ended.err, why);
    }));
  },
);

test("by its PID file a service is looked at, upgraded and stopped", limit, async (t) => {
  const pidFile = join(folderOf(t), "app.pid");
  const chain = await serviceOf(t, { pidFile });
  const [first = 0] = chain.pids;
  assert.deepEqual(JSON.parse((await run("status", "--pid-file", pidFile, "--json")).out), {
    pid: first,
    running: true,
  });

  const upgraded = await run("upgrade", "--pid-file", pidFile);
  const { pid: second } = await chain.event("ready", 2);
  assert.equal(upgraded.code, 0, upgraded.err);
  assert.match(upgraded.out, new RegExp(`^upgraded: pid ${second} took over after `));
  assert.match(upgraded.err, /cannot be told from a slow one.*\n.*sent SIGHUP to process/);

  const stopped = await run("stop", "--pid-file", pidFile, "--json");
  assert.deepEqual([stopped.code, JSON.parse(stopped.out)], [0, { ok: true, pid: second }]);
  assert.equal(isRunning(second), false);
});

test(
  "by its process id a service is upgraded when it has left, and its successor is seen",
  limit,
  async (t) => {
    const chain = await serviceOf(t, {});
    const [first = 0] = chain.pids;
    const { code, out, err } = await run("upgrade", "--pid", String(first));
    const { pid: second } = await chain.event("ready", 2);
    assert.deepEqual([code, out.slice(0, 10 + String(second).length + 4)], [
      0,
      `upgraded: pid ${second}`,
    ], err);
    assert.equal(isRunning(first), false);
  },
);

test(
  "by its PID file a failed upgrade is a wait that ends with 4, and the old process serves",
  limit,
  async (t) => {
    const pidFile = join(folderOf(t), "app.pid");
    const chain = await serviceOf(t, { pidFile }, "exit-in-init");
    const [first = 0] = chain.pids;
    const upgrading = run("upgrade", "--pid-file", pidFile, "-t", "2s", "-q");
    await chain.event("upgrade-failed");
    const { code, err } = await upgrading;
    assert.equal(code, 4);
    assert.match(err, new RegExp(`process ${first} still serves`));
    assert.equal((await chain.get()).text, `1 ${runtime.runtime} ${first}`);
  },
);

test("a process that would die of the signal is not signalled", limit, async (t) => {
  const sleeper = spawn("sleep", ["120"], { stdio: "ignore" });
  t.after(() => sleeper.kill("SIGKILL"));
  const pid = String(sleeper.pid);
  // Until execve(2) it has the handlers of this process.
  await until("it sleeps", () => comm(pid) === "sleep");
  const { code, err } = await run("upgrade", "--pid", pid);
  assert.equal(code, 3);
  assert.match(err, /does not handle SIGHUP, which would kill it/);
  assert.equal(isRunning(Number(pid)), true);
});

/** Starts a process that listens at a path, and kills it. @returns What was its number. */
async function leaveSocket(folder: string, path: string): Promise<number> {
  const script = join(folder, "listen.mjs");
  writeFileSync(
    script,
    `import net from "node:net"; net.createServer().listen(${JSON.stringify(path)});`,
  );
  const [file = "", ...args] = runtime.command(script);
  const listener = spawn(file, args, { stdio: "ignore" });
  const exited = new Promise((resolve) => listener.once("exit", resolve));
  await until("it listens", () => existsSync(path), 30_000);
  listener.kill("SIGKILL");
  await exited;
  return listener.pid ?? 0;
}

function comm(pid: string): string {
  return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
}

/** A Unix server for a test. */
function listen(
  t: TestContext,
  path: string,
  serve: (socket: net.Socket) => void,
): Promise<void> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    serve(socket);
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return new Promise((resolve) => server.listen(path, resolve));
}
