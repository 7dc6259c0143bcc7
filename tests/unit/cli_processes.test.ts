// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { parseArguments } from "../../src/cli/arguments.ts";
import { upgrade } from "../../src/cli/commands/upgrade.ts";
import type { Context } from "../../src/cli/context.ts";
import type { CommandError } from "../../src/cli/exit_codes.ts";
import { findProcess, signalNamed } from "../../src/cli/find_process.ts";
import type { Processes } from "../../src/cli/processes.ts";
import { Progress } from "../../src/cli/progress.ts";
import { stopBySignal } from "../../src/cli/stop.ts";
import { upgradeBySignal } from "../../src/cli/upgrade_by_signal.ts";
import { recorded } from "../support/cli.ts";

interface Process {
  birth: string;
  foreign?: boolean;
  catches?: boolean | undefined;
  children?: number[];
}

/** A machine whose processes do what a test says when they get a signal. */
class Machine implements Processes {
  readonly table = new Map<number, Process>();
  readonly sent: string[] = [];
  readonly self = 99;
  onSignal: (pid: number) => void = () => {};

  look(pid: number): "here" | "foreign" | "gone" {
    const process = this.table.get(pid);
    return process === undefined ? "gone" : process.foreign ? "foreign" : "here";
  }
  birth(pid: number): string | undefined {
    return this.table.get(pid)?.birth;
  }
  catches(pid: number): boolean | undefined {
    const process = this.table.get(pid);
    return process !== undefined && "catches" in process ? process.catches : true;
  }
  children(pid: number): readonly number[] | undefined {
    return this.table.get(pid)?.children;
  }
  signal(pid: number, signal: string): void {
    this.sent.push(`${signal} ${pid}`);
    this.onSignal(pid);
  }
}

interface Attempt {
  code: number;
  out: string;
  err: string;
}

/** Runs something with a target; an error of a command is told as the program tells it. */
async function attempt(run: (context: Context) => Promise<number>): Promise<Attempt> {
  const context = recorded();
  const code = await run(context).catch((error: CommandError) => {
    context.said.err += error.message;
    return error.exitCode;
  });
  return { code, ...context.said };
}

function pidFile(t: TestContext, text: string): { kind: "pid-file"; path: string } {
  const folder = mkdtempSync(join(tmpdir(), "changeover-cli-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "app.pid"), text);
  return { kind: "pid-file", path: join(folder, "app.pid") };
}

const upgradeOf = (
  target: { kind: "pid-file"; path: string } | { kind: "pid"; pid: number },
  machine: Machine,
  { timeoutMs = 20_000, words = [] as string[] } = {},
) =>
  attempt((context) =>
    upgradeBySignal(
      target,
      { args: parseArguments(words, upgrade), context, timeoutMs },
      machine,
    )
  );

test("a PID file that holds no process id of a service is never followed", (t) => {
  const machine = new Machine();
  for (const pid of [0, 1, 123]) machine.table.set(pid, { birth: "1" });
  const wrong = [
    "",
    "0\n",
    "1\n",
    "-123",
    "123 456",
    "0x7b",
    "123abc",
    "9".repeat(11),
    "4294967419",
    " ".repeat(100) + "123",
  ];
  for (const text of wrong) {
    const { path } = pidFile(t, text);
    assert.throws(
      () => findProcess({ kind: "pid-file", path }, machine),
      (error: CommandError) => error.exitCode === 3 && /holds no process id/.test(error.message),
      JSON.stringify(text),
    );
  }
  assert.equal(findProcess(pidFile(t, " 123\n"), machine).pid, 123);
  const { path } = pidFile(t, "");
  assert.throws(
    () => findProcess({ kind: "pid-file", path: join(path, "..") }, machine),
    /is no file/,
  );
  assert.throws(
    () => findProcess({ kind: "pid-file", path: `${path}x` }, machine),
    /there is no PID file/,
  );
  const good = pidFile(t, "123");
  for (const plant of [() => symlinkSync(good.path, path), () => execFileSync("mkfifo", [path])]) {
    rmSync(path);
    plant();
    assert.throws(() => findProcess({ kind: "pid-file", path }, machine), /is no file; a link/);
  }
});

test("a process that is gone, another user's, this very command, or deaf to the signal is not signalled", async (t) => {
  const machine = new Machine();
  machine.table.set(50, { birth: "1", foreign: true });
  machine.table.set(51, { birth: "1", catches: false });
  machine.table.set(99, { birth: "1" });
  const said = async (pid: number) => {
    const { code, err } = await upgradeOf(pidFile(t, String(pid)), machine);
    assert.equal(code, 3, err);
    return err;
  };
  assert.match(await said(49), /no process 49; ".*app\.pid" is stale/);
  assert.match(await said(50), /process 50 belongs to another user; run this as that user/);
  assert.match(await said(51), /does not handle SIGHUP, which would kill it.*nothing was sent/);
  assert.match(await said(99), /this very command/);
  assert.deepEqual(machine.sent, []);
});

test("upgraded is who has the PID file next", async (t) => {
  const machine = new Machine();
  const target = pidFile(t, "50\n");
  machine.table.set(50, { birth: "1", catches: undefined }); // as where nobody can tell
  machine.onSignal = () => {
    machine.table.set(60, { birth: "2" });
    writeFileSync(target.path, "60\n");
  };
  const { code, out, err } = await upgradeOf(target, machine);
  assert.equal(code, 0);
  assert.match(out, /^upgraded: pid 60 took over after /);
  assert.match(err, /a failed upgrade cannot be told from a slow one/);
  assert.deepEqual(machine.sent, ["SIGHUP 50"]);

  const again = pidFile(t, "60\n");
  machine.onSignal = () => writeFileSync(again.path, "61\n");
  const quiet = await upgradeOf(again, machine, { words: ["--quiet", "--signal", "usr2"] });
  assert.deepEqual([quiet.code, quiet.err], [
    1,
    "changeover: process 61 took over, and is gone already\n",
  ]);
  assert.equal(machine.sent.at(-1), "SIGUSR2 60");
});

test("a process that goes on with its PID file ends the wait with 4, and what is not known is said", async (t) => {
  const machine = new Machine();
  machine.table.set(50, { birth: "1" });
  const { code, err } = await upgradeOf(pidFile(t, "50"), machine, { timeoutMs: 200 });
  assert.equal(code, 4);
  assert.match(err, /timed out after 200 ms: process 50 still serves: .*failed .* not decided yet/);
});

test("a process that is gone without a successor ends with 3, also when its number is used again", async (t) => {
  const machine = new Machine();
  const target = pidFile(t, "50");
  machine.table.set(50, { birth: "1" });
  machine.onSignal = () => {
    machine.table.set(50, { birth: "2" });
    rmSync(target.path);
  };
  const { code, err } = await upgradeOf(target, machine);
  assert.equal(code, 3);
  assert.match(err, /no other has taken over the PID file: the service has stopped or crashed/);
});

test("with --pid the successor is a child that came after the signal and outlives the process", async () => {
  const machine = new Machine();
  const old: Process = { birth: "1", children: [51] };
  machine.table.set(50, old);
  machine.table.set(51, { birth: "1" }); // was there before
  machine.onSignal = () => {
    machine.table.set(60, { birth: "2" });
    old.children = [51, 60];
    setTimeout(() => machine.table.delete(50), 300);
  };
  const { code, out, err } = await upgradeOf({ kind: "pid", pid: 50 }, machine);
  assert.deepEqual([code, out.slice(0, 16)], [0, "upgraded: pid 60"]);
  assert.match(err, /process 60, which process 50 started, goes on: taken for its successor/);

  machine.table.set(50, { birth: "3" });
  machine.onSignal = () => machine.table.delete(50);
  const alone = await upgradeOf({ kind: "pid", pid: 50 }, machine);
  assert.equal(alone.code, 3);
  assert.match(alone.err, /whether another process serves cannot be known with --pid/);
});

test("stop waits until the process is gone, and says when another has taken over meanwhile", async (t) => {
  const machine = new Machine();
  const target = pidFile(t, "50");
  const stop = (timeoutMs: number) =>
    attempt((context) => {
      const progress = new Progress(context, { quiet: true });
      return stopBySignal(
        target,
        "SIGTERM",
        { context, timeoutMs, json: false, progress },
        machine,
      );
    });
  machine.table.set(50, { birth: "1" });
  assert.match((await stop(200)).err, /timed out.*process 50 goes on finishing its connections/);

  machine.onSignal = () => void setTimeout(() => machine.table.delete(50), 100);
  const { code, out } = await stop(20_000);
  assert.equal(code, 0);
  assert.match(out, /^stopped: process 50 is gone after /);

  machine.table.set(50, { birth: "1" });
  machine.table.set(60, { birth: "2" });
  machine.onSignal = () => {
    machine.table.delete(50);
    writeFileSync(target.path, "60");
  };
  const replaced = await stop(20_000);
  assert.equal(replaced.code, 1);
  assert.match(replaced.err, /process 60 has taken over meanwhile and runs/);
});

test("--signal is a signal that can be handled, in any spelling", () => {
  assert.deepEqual(["hup", "SIGUSR2", "Term"].map(signalNamed), ["SIGHUP", "SIGUSR2", "SIGTERM"]);
  for (const wrong of ["", "KILL", "SIGSTOP", "9", "NONSENSE", "constructor"]) {
    assert.throws(() => signalNamed(wrong), /--signal/, wrong);
  }
});
