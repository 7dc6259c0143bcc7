// Runs on: node24, node26, deno, bun
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { get, isRunning, type Target, until } from "../support/chain.ts";
import { childrenOf, fastRuntime, Runner, type RunnerOptions, service } from "../support/runner.ts";
import { current } from "../support/runtimes.ts";

// On one runtime in full: what the others do alike is tested once.
const isFull = fastRuntime.name === current().name;
const UPGRADES = Number(process.env["RUN_UPGRADES"] ?? (isFull ? 20 : 5));
const options = {
  timeout: 60_000 + UPGRADES * 1_000,
  skip: process.platform === "linux" ? false : "what is looked at is in /proc",
};
const once = {
  ...options,
  skip: options.skip ||
    (isFull ? false : `it is decided alike everywhere: ${fastRuntime.name} runs it`),
};
const stranger = fileURLToPath(new URL("../fixtures/run_stranger.ts", import.meta.url));
const PATIENCE_MS = 30_000;
const CONTAINER = ["--pid", "--fork", "--mount-proc", "--kill-child"];

function start(t: TestContext, options: RunnerOptions = {}): Runner {
  const runner = new Runner(options);
  t.after(() => runner.end(options.before === undefined));
  return runner;
}

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "co-run-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test(
  "run stays through upgrades, passes each signal on once and ends as the newest generation does",
  options,
  async (t) => {
    const pidFile = join(folderFor(t), "run.pid");
    const runner = start(t, { options: ["--pid-file", pidFile], command: service(current()) });
    const first = await runner.event("ready");
    assert.deepEqual(
      first["leaked"],
      [],
      "the service's subprocesses are not to find what is meant for it",
    );
    assert.equal(readFileSync(pidFile, "utf8"), `${runner.pid}\n`);
    process.kill(runner.pid, "SIGUSR2");
    assert.equal((await runner.event("signal")).pid, first.pid);
    process.kill(runner.pid, "SIGHUP");
    const second = await runner.event("ready", 2);
    await until("the first generation has ended", () => !isRunning(first.pid), PATIENCE_MS);
    process.kill(runner.pid, "SIGWINCH");
    const { pid, signal } = await runner.event("signal", 2);
    assert.deepEqual([pid, signal], [second.pid, "SIGWINCH"]);
    process.kill(runner.pid, "SIGTERM");
    assert.equal(await runner.exitCode(), 0, runner.text);
    assert.deepEqual(
      runner.all("signal").map(({ pid, signal }) => [pid, signal]),
      [[first.pid, "SIGUSR2"], [second.pid, "SIGWINCH"], [second.pid, "SIGTERM"]],
    );
    assert.equal(existsSync(pidFile), false);
    assert.equal(runner.text, "");
  },
);

test(
  "run ends with the exit code of a successor, or 128 and the signal that ended it",
  options,
  async (t) => {
    const ends = [
      async (runner: Runner, _pid: number) =>
        void await get(runner.target, "/exit").catch(() => {}),
      (_runner: Runner, pid: number) => Promise.resolve(void process.kill(pid, "SIGKILL")),
    ];
    const codes = await Promise.all(ends.map(async (end) => {
      const runner = start(t);
      const first = await runner.event("ready");
      process.kill(runner.pid, "SIGHUP");
      const second = await runner.event("ready", 2);
      await until("the first generation has ended", () => !isRunning(first.pid), PATIENCE_MS);
      await end(runner, second.pid);
      return await runner.exitCode();
    }));
    assert.deepEqual(codes, [7, 137]);
  },
);

test(
  "run waits for an older generation that still answers, and a second stop signal cuts it",
  once,
  async (t) => {
    const runner = start(t);
    const first = await runner.event("ready");
    const held = get(runner.target, "/hold").then(() => "answered", () => "cut");
    await runner.event("held");
    process.kill(runner.pid, "SIGHUP");
    const second = await runner.event("ready", 2);
    process.kill(runner.pid, "SIGINT");
    await until("the newest generation has ended", () => !isRunning(second.pid), PATIENCE_MS);
    assert.equal(isRunning(first.pid), true);
    assert.equal(isRunning(runner.pid), true);
    // Nothing is lost when it comes before the runner has seen the end: it then goes where the first went.
    await until("a second signal has ended it", () => {
      if (isRunning(runner.pid)) process.kill(runner.pid, "SIGINT");
      return !isRunning(first.pid);
    }, PATIENCE_MS);
    assert.equal(await held, "cut");
    assert.equal(await runner.exitCode(), 0, runner.text);
  },
);

test(
  "run --listen --restart on-failure: whoever connects during a crash is answered by the next process",
  options,
  async (t) => {
    const runner = start(t, {
      options: ["--listen", "127.0.0.1:0=main", "--restart", "on-failure"],
    });
    const pids: number[] = [(await runner.event("ready")).pid];
    const client = connectAgainAndAgain(runner.target);
    for (const count of [2, 3]) {
      await until("it is asked", () => client.answers.includes(`1 ${pids.at(-1)}`), PATIENCE_MS);
      process.kill(pids.at(-1) as number, "SIGKILL");
      pids.push((await runner.event("ready", count)).pid);
    }
    await until(
      "the last one has answered",
      () => client.answers.includes(`1 ${pids[2]}`),
      PATIENCE_MS,
    );
    assert.deepEqual((await client.stop()).refused, []);
    assert.match(runner.text, /ended with exit code 137; starting it again in 100 ms/);
    // Upgrades go on as if it had been started once.
    process.kill(runner.pid, "SIGHUP");
    assert.equal((await runner.event("ready", 4)).generation, 2);
    process.kill(runner.pid, "SIGTERM");
    assert.equal(await runner.exitCode(), 0, runner.text);
  },
);

test(
  "run --restart on-failure starts again when the newest generation dies while its parent still answers",
  once,
  async (t) => {
    const runner = start(t, {
      options: ["--listen", "127.0.0.1:0=main", "--restart", "on-failure", "--grace", "20s"],
    });
    const first = await runner.event("ready");
    const held = get(runner.target, "/hold").then(() => "answered", () => "cut");
    await runner.event("held");
    process.kill(runner.pid, "SIGHUP");
    const second = await runner.event("ready", 2);
    await runner.event("exit");
    process.kill(second.pid, "SIGKILL");
    const third = await runner.event("ready", 3);
    assert.equal(third.generation, 1);
    assert.equal(isRunning(first.pid), true, "it has a request to answer");
    const answer = await get(runner.target);
    assert.equal(answer.text, `1 ${third.pid}`);
    process.kill(runner.pid, "SIGTERM");
    await until("the newest has ended", () => !isRunning(third.pid), PATIENCE_MS);
    process.kill(first.pid, "SIGKILL");
    assert.equal(await held, "cut");
    assert.equal(await runner.exitCode(), 0, runner.text);
  },
);

test(
  "run --listen passes sockets to a program that knows nothing of this library, and holds them",
  options,
  async (t) => {
    const path = join(folderFor(t), "s.sock");
    const runner = start(t, {
      options: ["-l", `unix:${path}=web`, "--listen", "[::1]:0", "--restart=on-failure"],
      command: current().command(stranger),
    });
    const about = ({ LISTEN_FDS, LISTEN_FDNAMES, isMine }: Record<string, unknown>) => ({
      LISTEN_FDS,
      LISTEN_FDNAMES,
      isMine,
    });
    const passed = { LISTEN_FDS: "2", LISTEN_FDNAMES: "web:unknown", isMine: true };
    const first = await runner.event("ready");
    assert.deepEqual(about(first), passed);
    assert.equal(await firstLine({ path }), `hello from ${first.pid}`);
    process.kill(first.pid, "SIGKILL");
    await until("it is gone", () => !isRunning(first.pid), PATIENCE_MS);
    const waiting = firstLine({ path });
    const second = await runner.event("ready", 2);
    assert.deepEqual(about(second), passed);
    assert.equal(await waiting, `hello from ${second.pid}`);
    process.kill(runner.pid, "SIGTERM");
    assert.equal(await runner.exitCode(), 143, runner.text);
    assert.equal(existsSync(path), false);
  },
);

test("run --grace kills what is left after a stop signal", once, async (t) => {
  const runner = start(t, { options: ["--grace", "200ms"] });
  await runner.event("ready");
  void get(runner.target, "/hold").catch(() => {});
  await runner.event("held");
  process.kill(runner.pid, "SIGTERM");
  assert.equal(await runner.exitCode(), 137);
  assert.match(runner.text, /killing what is left 200 ms after the stop signal/);
});

test("run follows a server that may not tell who owns the service", {
  ...options,
  skip: options.skip ||
    (current().runtime === "deno" ? false : "permissions are Deno's"),
}, async (t) => {
  const allowed = ["net", "env", "run", "ffi"].map((name) => `--allow-${name}`);
  const server = fileURLToPath(new URL("../fixtures/permissions.ts", import.meta.url));
  const runner = start(t, {
    command: [current().executable, "run", "--no-prompt", ...allowed, server, "127.0.0.1"],
  });
  for (const generation of [1, 2, 3]) {
    assert.equal((await runner.event("ready", generation)).generation, generation);
    // Nobody tells the runner, and a process that has drained passes nothing on any more.
    const older = runner.all("ready").slice(0, -1).map(({ pid }) => pid);
    await until("older ones have ended", () => !older.some(isRunning), PATIENCE_MS);
    process.kill(runner.pid, generation < 3 ? "SIGHUP" : "SIGTERM");
  }
  assert.equal(await runner.exitCode(), 0, runner.text);
  assert.deepEqual(runner.all("exit").map(({ reason }) => reason), [
    "upgraded",
    "upgraded",
    "stopped",
  ]);
});

test(
  "run on a Node without C calls and Perl passes signals on all the same, and says what it cannot know",
  {
    ...options,
    skip: options.skip || (current().name === "node24" ? false : "there are C calls here"),
  },
  async (t) => {
    const [stopped, crashed] = await Promise.all(["SIGTERM", "SIGKILL"].map(async (signal) => {
      const runner = start(t, { env: { PATH: folderFor(t) } });
      const first = await runner.event("ready");
      process.kill(runner.pid, "SIGHUP");
      const second = await runner.event("ready", 2);
      await until("the first generation has ended", () => !isRunning(first.pid), PATIENCE_MS);
      process.kill(signal === "SIGTERM" ? runner.pid : second.pid, signal);
      const code = await runner.exitCode();
      assert.match(runner.text, new RegExp(`process ${second.pid} has ended, and its exit status`));
      return code;
    }));
    assert.deepEqual([stopped, crashed], [0, 1]);
  },
);

const terminal = {
  ...options,
  skip: options.skip || lacks("script", ["--version"]),
};
/** The runner's process group is the terminal's foreground one, as it is under a shell. */
const inTerminal = (line: readonly string[]) => {
  const quoted = line.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  return ["script", "-qec", `exec ${quoted}`, "/dev/null"];
};

test(
  "run in a terminal: Ctrl-C reaches the newest generation once, and the prompt comes back when it has ended",
  terminal,
  async (t) => {
    const runner = start(t, { around: inTerminal });
    const first = await runner.event("ready");
    const pid = childrenOf(runner.pid)[0]?.pid ?? 0;
    process.kill(pid, "SIGHUP");
    const second = await runner.event("ready", 2);
    await until("the first generation has ended", () => !isRunning(first.pid), PATIENCE_MS);
    assert.equal(runner.child.exitCode, null, "the terminal still belongs to it");
    runner.child.stdin?.write("\x1a"); // Ctrl-Z
    const both = [pid, second.pid];
    await until("both have stopped", () => both.every((pid) => stateOf(pid) === "T"), PATIENCE_MS);
    process.kill(pid, "SIGCONT"); // fg
    // script(1) stops with what it runs, a moment later.
    const wake = setInterval(() => {
      try {
        process.kill(runner.pid, "SIGCONT");
      } catch {
        // It has ended.
      }
    }, 20);
    t.after(() => clearInterval(wake));
    await until("both go on", () => both.every((pid) => stateOf(pid) !== "T"), PATIENCE_MS);
    runner.child.stdin?.write("\x03"); // Ctrl-C
    const code = await runner.exitCode();
    clearInterval(wake);
    assert.equal(code, 0, runner.text);
    assert.deepEqual(
      runner.all("signal").map(({ pid, signal }) => [pid, signal]),
      [[second.pid, "SIGINT"]],
    );
  },
);

test(
  "run in a terminal that is closed stops the service and does not upgrade it",
  terminal,
  async (t) => {
    const runner = start(t, { around: inTerminal });
    const { pid } = await runner.event("ready");
    const inside = childrenOf(runner.pid)[0]?.pid ?? 0;
    t.after(() => isRunning(inside) && process.kill(inside, "SIGKILL"));
    process.kill(runner.pid, "SIGKILL"); // of the terminal
    await until("both have ended", () => !isRunning(pid) && !isRunning(inside), PATIENCE_MS);
  },
);

test(`run leaves no zombie after ${UPGRADES} upgrades, also as the first process of a container`, {
  ...options,
  skip: options.skip || lacks("unshare", [...CONTAINER, "true"]),
}, async (t) => {
  const runner = start(t, { before: ["unshare", ...CONTAINER] });
  await runner.event("ready");
  const [inside] = childrenOf(runner.pid);
  const pid = inside?.pid ?? 0;
  for (let count = 2; count <= UPGRADES + 1; count++) {
    process.kill(pid, "SIGHUP");
    const { generation } = await runner.event("ready", count);
    assert.equal(generation, count);
    await runner.event("drained", count - 1);
  }
  // Whatever ends is seen in a moment; the newest stays, and Perl where it helps.
  await until("nothing is left of the older ones", () => {
    const children = childrenOf(pid).flatMap((child) => [child, ...childrenOf(child.pid)]);
    return children.length <= 2 && children.every(({ state }) => state !== "Z");
  }, PATIENCE_MS);
  process.kill(pid, "SIGTERM");
  assert.equal(await runner.exitCode(), 0, runner.text);
  assert.deepEqual(runner.all("signal").map(({ generation }) => generation), [UPGRADES + 1]);
});

/** Why a program cannot be used here. */
function lacks(program: string, args: readonly string[]): false | string {
  const { error, status, stderr } = spawnSync(program, args, { timeout: 10_000 });
  if (error === undefined && status === 0) return false;
  return `${program} cannot be used here: ${error?.message ?? stderr?.toString().trim()}`;
}

/** The state of a process, as in proc(5). */
function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2)[0] ?? "";
}

/** The first line that a server says. */
function firstLine(target: Target): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(target);
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error("nothing was said")));
    socket.on("error", reject);
    socket.on("data", (chunk: Uint8Array) => {
      resolve(new TextDecoder().decode(chunk).trim());
      socket.destroy();
    });
  });
}

/** A client that asks on one connection after the other; what a killed process leaves unanswered is not counted. */
function connectAgainAndAgain(target: Target) {
  const asked = { answers: [] as string[], refused: [] as string[] };
  let on = true;
  const loop = async () => {
    while (on) {
      try {
        const { text } = await get(target);
        if (asked.answers.at(-1) !== text) asked.answers.push(text);
      } catch (error) {
        const { code, message } = error as Error & { code?: string };
        if (code !== "ECONNRESET" && !/hang up|closed/i.test(message)) asked.refused.push(message);
      }
    }
  };
  const loops = [loop(), loop(), loop()];
  return {
    answers: asked.answers,
    async stop() {
      on = false;
      await Promise.all(loops);
      return asked;
    },
  };
}
