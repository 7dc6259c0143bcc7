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
import { changeover, Cli } from "../support/cli.ts";
import { current } from "../support/runtimes.ts";

// The program runs on the runtime of this test, and so do the services that it talks to.
const runtime = current();
const limit = { timeout: 120_000 };
/** How long a busy machine may take for anything. */
const PATIENCE_MS = 30_000;

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
  await chain.event("ready", 1, PATIENCE_MS);
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
  const { pid: second } = await chain.event("ready", 2, PATIENCE_MS);
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
    const { pid: second } = await chain.event("ready", 2, PATIENCE_MS);
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
    await chain.event("upgrade-failed", 1, PATIENCE_MS);
    const { code, err } = await upgrading;
    assert.equal(code, 4);
    assert.match(err, new RegExp(`process ${first} still serves`));
    assert.equal((await chain.get()).text, `1 ${runtime.runtime} ${first}`);
  },
);

test(
  "through the control socket an upgrade is followed, told and watched from generation to generation",
  limit,
  async (t) => {
    const control = join(folderOf(t), "control.sock");
    const chain = await serviceOf(t, { control });
    const [first = 0] = chain.pids;
    const watching = new Cli(runtime, ["status", "--watch", "--json", "--control", control]);
    t.after(() => watching.kill());
    await watching.says(/"generation":1/);

    const upgraded = await run("upgrade", "--control", control);
    const { pid: second } = await chain.event("ready", 2, PATIENCE_MS);
    assert.equal(upgraded.code, 0, upgraded.err);
    assert.match(
      upgraded.out,
      new RegExp(`^upgraded: generation 2 \\(pid ${second}, ${runtime.runtime} `),
    );
    assert.match(
      upgraded.err,
      /asking the service\n.* starting the new process\n.* started; waiting/,
    );
    await watching.says(/"event":"status",[^\n]*"generation":2/);

    const [text, json] = await Promise.all([
      run("status", "--control", control),
      run("status", "--control", control, "--json"),
    ]);
    assert.deepEqual([text.code, text.err, json.code, json.err], [0, "", 0, ""]);
    assert.match(
      text.out,
      new RegExp(`^generation 2 \\(pid ${second}, .*\\): serving\n  listens on 127`),
    );
    assert.match(text.out, /last upgrades:\n.* ago {2}upgraded from generation 1 to 2/);
    assert.equal(JSON.parse(json.out).history[0].generation, 1);

    const stopped = await run("stop", "--control", control);
    assert.equal(stopped.code, 0, stopped.err);
    assert.match(stopped.out, new RegExp(`^stopped: process ${second} is gone after `));
    assert.deepEqual([isRunning(first), isRunning(second)], [false, false]);

    // Who watches has seen all of it, and ends with the service.
    const { code, out, err } = await watching.ended;
    assert.deepEqual([code, err], [0, ""]);
    const events = out.trim().split("\n").map((line) => JSON.parse(line).event);
    const expected = [
      "status",
      "upgrading",
      "spawned",
      "child-ready",
      "committing",
      "upgraded",
      "status",
    ];
    // Others may come to be told as well.
    const told = events.filter((event) => expected.includes(event));
    assert.deepEqual(told.slice(0, expected.length), expected);
    assert.equal(events.at(-1), "stopping");
  },
);

test(
  "a failed upgrade ends with 1, shows the last lines of the new process, and the old one serves",
  limit,
  async (t) => {
    const control = join(folderOf(t), "control.sock");
    const chain = await serviceOf(t, { control }, "throw");
    const [first = 0] = chain.pids;
    const [plain, json] = [
      await run("upgrade", "--control", control, "--quiet"),
      await run("upgrade", "--control", control, "--json", "--quiet"),
    ];
    for (const { code, err } of [plain, json]) {
      assert.equal(code, 1, err);
      assert.match(err, /^changeover: upgrade failed after .* \(ERR_CHILD_(?:FAILED|EXITED)\): /);
      assert.match(
        err,
        /\nThe last lines of the new process:\n(?: {2}\| .*\n)* {2}\| .*the database is not there/,
      );
      assert.match(err, new RegExp(`\nGeneration 1 \\(pid ${first}\\) still serves\\.\n$`));
    }
    assert.equal(plain.out, "");
    const { ok, error } = JSON.parse(json.out);
    assert.equal(ok, false);
    assert.match(error.childOutput, /the database is not there/);
  },
);

test(
  "one upgrade at a time: a second is refused, Ctrl-C leaves the first to itself, stop ends it",
  limit,
  async (t) => {
    const control = join(folderOf(t), "control.sock");
    const chain = await serviceOf(t, { control, upgradeTimeoutMs: 300_000 }, "never-ready");
    const [first = 0] = chain.pids;
    const upgrading = new Cli(runtime, ["upgrade", "--control", control]);
    t.after(() => upgrading.kill());
    await chain.event("waiting", undefined, PATIENCE_MS);

    const second = await run("upgrade", "--control", control);
    assert.equal(second.code, 1, second.err);
    assert.match(second.err, /\(ERR_UPGRADE_IN_PROGRESS\).*\nGeneration 1 .* still serves/);

    upgrading.kill("SIGINT");
    const { code, err } = await upgrading.ended;
    assert.equal(code, 130);
    assert.match(
      err,
      /interrupted: the upgrade is not decided yet and goes on; look with: changeover status --control/,
    );
    assert.match((await run("status", "--control", control)).out, /: upgrading\n/);

    const stopped = await run("stop", "--control", control, "--json");
    assert.deepEqual(
      [stopped.code, JSON.parse(stopped.out)],
      [0, { ok: true, pid: first }],
      stopped.err,
    );
  },
);

test("an upgrade that is not decided in time ends with 4 and goes on", limit, async (t) => {
  const path = join(folderOf(t), "control.sock");
  const status = JSON.stringify({ generation: 1, pid: 4711, state: "serving" });
  await listen(t, path, (socket) => {
    socket.on("data", (chunk: Uint8Array) => {
      const [, target] = new TextDecoder().decode(chunk).split(" ");
      if (target === "/status") socket.end(`HTTP/1.1 200 OK\r\n\r\n${status}`);
      if (target === "/events") socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    });
  });
  const { code, out, err } = await run("upgrade", "--control", path, "-t", "1s", "--json");
  assert.equal(code, 4);
  assert.match(err, /timed out after 1\.0 s: /);
  assert.equal(JSON.parse(out).exitCode, 4);
});

test(
  "an answer that was lost is looked for: who serves now tells how it ended",
  limit,
  async (t) => {
    const folder = folderOf(t);
    const answers = async (name: string, after: number | undefined): Promise<string> => {
      let generation = 1;
      await listen(t, join(folder, name), (socket) => {
        socket.on("data", (chunk: Uint8Array) => {
          const [, target] = new TextDecoder().decode(chunk).split(" ");
          if (target === "/upgrade") {
            if (after === undefined) rmSync(join(folder, name));
            else generation = after;
            socket.destroy();
          } else if (target === "/status") {
            const status = {
              generation,
              pid: 4710 + generation,
              state: "serving",
              runtime: "node",
            };
            socket.end(`HTTP/1.1 200 OK\r\n\r\n${JSON.stringify(status)}`);
          } else socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        });
      });
      return join(folder, name);
    };
    const cases: [string, number, RegExp][] = [
      [await answers("upgraded", 2), 0, /^upgraded: generation 2 \(pid 4712, node\) took over\n/],
      [
        await answers("as-before", 1),
        1,
        /no new generation serves\nGeneration 1 \(pid 4711\) still serves/,
      ],
      [await answers("gone", undefined), 3, /there is no such socket/],
    ];
    await Promise.all(cases.map(async ([path, code, text]) => {
      const ended = await run("upgrade", "--control", path, "-q");
      assert.equal(ended.code, code, ended.out + ended.err);
      assert.match(ended.out + ended.err, text);
    }));
  },
);

test("who reads no more is no error to talk about", limit, async (t) => {
  const path = join(folderOf(t), "control.sock");
  const event = 'event: status\ndata: {"generation":1,"pid":4711}\n\n';
  const followers = new Set<net.Socket>();
  const tell = () => {
    for (const follower of followers) follower.write(event);
  };
  await listen(t, path, (socket) => {
    socket.once("close", () => followers.delete(socket));
    socket.once("data", () => {
      followers.add(socket);
      socket.write(`HTTP/1.1 200 OK\r\n\r\n${event}`);
    });
  });
  const watching = new Cli(runtime, ["status", "--watch", "--control", path]);
  t.after(() => watching.kill());
  await watching.says(/generation 1/);
  const other = new Cli(runtime, ["status", "--watch", "--control", path]);
  t.after(() => other.kill());
  await other.says(/generation 1/);
  other.kill("SIGINT");
  const interrupted = await other.ended;
  assert.deepEqual([interrupted.code, interrupted.err], [130, ""]);

  watching.child.stdout?.destroy();
  const writing = setInterval(() => tell(), 50);
  t.after(() => clearInterval(writing));
  const { code, err } = await watching.ended;
  assert.deepEqual([code, err], [141, ""]);
});

test("on Deno it needs no more permissions than docs/cli.md says", {
  ...limit,
  skip: runtime.runtime !== "deno" && "runs on Deno",
}, async (t) => {
  const folder = folderOf(t);
  const control = join(folder, "control.sock");
  const pidFile = join(folder, "app.pid");
  const chain = await serviceOf(t, { control, pidFile });
  const folders = [`--allow-read=${folder}`, `--allow-write=${folder}`];
  const allowed = [...folders, `--allow-net=unix:${control}`];
  const withFlags = (flags: readonly string[], ...words: string[]) =>
    changeover({
      ...runtime,
      command: (script, args = []) => [
        runtime.executable,
        "run",
        "--no-prompt",
        ...flags,
        script,
        ...args,
      ],
    }, words);

  const status = await withFlags(allowed, "status", "--control", control);
  assert.deepEqual([status.code, status.err], [0, ""]);
  const signalled = await withFlags(
    ["--allow-run", `--allow-read=${folder}`],
    "upgrade",
    "--pid-file",
    pidFile,
  );
  assert.equal(signalled.code, 0, signalled.err);
  await chain.event("ready", 2, PATIENCE_MS);
  const upgraded = await withFlags(allowed, "upgrade", "--control", control);
  assert.equal(upgraded.code, 0, upgraded.err);
  await chain.event("ready", 3, PATIENCE_MS);

  // Not without any: then Deno starts its subprocess Deno with all.
  const refused = await Promise.all([
    withFlags(folders, "status", "--control", control),
    withFlags(["--allow-env"], "status", "--control", control),
    withFlags(["--allow-env"], "status", "--pid", String(chain.first.pid)),
  ]);
  assert.deepEqual(refused.map(({ code }) => code), [3, 3, 3]);
  assert.match(
    refused.map(({ err }) => err).join(""),
    /--allow-net[^]*--allow-read[^]*--allow-run/,
  );
});

test("a process that would die of the signal is not signalled", limit, async (t) => {
  const sleeper = spawn("sleep", ["120"], { stdio: "ignore" });
  t.after(() => sleeper.kill("SIGKILL"));
  const pid = String(sleeper.pid);
  // Until execve(2) it has the handlers of this process.
  await until("it sleeps", () => comm(pid) === "sleep", PATIENCE_MS);
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
  await until("it listens", () => existsSync(path), PATIENCE_MS);
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
