// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { test } from "node:test";
import { exitCodeOf, exitStatus, startError } from "../../src/backend/offspring_types.ts";
import { formatIp, parseIp } from "../../src/backend/libc/ip.ts";
import { encodeName } from "../../src/backend/libc/socket_name.ts";
import { parseArguments } from "../../src/cli/arguments.ts";
import { run } from "../../src/cli/commands/run.ts";
import { Backoff } from "../../src/cli/run/backoff.ts";
import { familyOf, type Member } from "../../src/cli/run/family.ts";
import { runOptions } from "../../src/cli/run/run_options.ts";
import { Supervisor } from "../../src/cli/run/supervisor.ts";
import type { End, Wishes, World } from "../../src/cli/run/world.ts";

const member = (pid: number, ppid: number, invitedBy?: number): Member => ({
  pid,
  ppid,
  started: pid,
  invitedBy,
});

test("the newest generation is who told that it owns the service, whatever else runs", () => {
  const members = [member(10, 1), member(11, 10), member(20, 10, 10), member(30, 20, 20)];
  const { newest, others } = familyOf(members, { root: 10, owner: { pid: 20, started: 20 } });
  assert.equal(newest?.pid, 20);
  assert.deepEqual(others.map(({ pid }) => pid), [10, 30]);
});

test("an owner that is gone is followed by its own successor, and by nobody older", () => {
  const owner = { pid: 20, started: 20 };
  const orphan = familyOf([member(10, 1), member(30, 1, 20)], { root: 10, owner });
  assert.equal(orphan.newest?.pid, 30);
  const alone = familyOf([member(10, 1)], { root: 10, owner });
  assert.equal(alone.newest, undefined);
  assert.deepEqual(alone.others.map(({ pid }) => pid), [10]);
});

test("where nobody tells, invitations lead to the newest generation, and subprocesses are none", () => {
  const known = { root: 10, owner: undefined };
  const newest = (...members: Member[]) => familyOf(members, known).newest?.pid;
  assert.equal(newest(member(10, 1), member(11, 10)), 10);
  // Being started, or drained around: the parent passes on what it is told.
  assert.equal(newest(member(10, 1), member(20, 10, 10)), 10);
  // The first has ended; a subprocess of the second and one of the first are left.
  assert.equal(newest(member(20, 1, 10), member(21, 20), member(12, 1)), 20);
  // The second has ended, the first still drains.
  assert.equal(newest(member(10, 1), member(30, 1, 20)), 30);
  // A subprocess that kept the variable: its parent is not who invites.
  assert.equal(newest(member(10, 1), member(20, 10, 10), member(25, 20, 10)), 10);
  assert.equal(newest(member(12, 1)), undefined);
});

test("pauses double up to half a minute, and begin anew after a time without failure", () => {
  const backoff = new Backoff();
  const pauses = Array.from({ length: 12 }, () => backoff.failed(50));
  assert.deepEqual(pauses.slice(0, 4), [100, 200, 400, 800]);
  assert.equal(pauses.at(-1), 30_000);
  assert.equal(backoff.failed(10_000), 100);
});

test("ends are told as shells and waitpid(2) do", () => {
  assert.equal(exitCodeOf(exitStatus(7 << 8)), 7);
  assert.equal(exitCodeOf(exitStatus(9 | 0x80)), 137);
  assert.equal(exitCodeOf(exitStatus(40)), 168); // a real-time signal has no name
  const refused = (code: string) => startError("x", Object.assign(new Error(code), { code }));
  assert.deepEqual(["ENOENT", "EACCES", "E2BIG"].map((code) => refused(code).exitCode), [
    127,
    126,
    126,
  ]);
});

test("IP addresses are read as they are printed", () => {
  for (const text of ["127.0.0.1", "::", "::1", "2001:db8::1:0:0:1", "::ffff:10.1.2.3", "fe80::"]) {
    assert.equal(formatIp(parseIp(text) as Uint8Array), text);
  }
  assert.equal(formatIp(parseIp("1:2:3:4:5:6:7:8") as Uint8Array), "1:2:3:4:5:6:7:8");
  for (const text of ["localhost", "fe80::1%eth0", "1.2.3", ""]) {
    assert.equal(parseIp(text), undefined);
  }
});

test("names of sockets have the form of the system, and what has none is refused", () => {
  const linux = { AF_INET6: 10, hasLength: false };
  const name = { hostname: "127.0.0.1", port: 258 };
  assert.deepEqual([...encodeName(name, linux)].slice(0, 8), [2, 0, 1, 2, 127, 0, 0, 1]);
  assert.deepEqual([...encodeName(name, { AF_INET6: 30, hasLength: true })].slice(0, 2), [16, 2]);
  assert.equal(encodeName({ hostname: "::1", port: 1 }, linux)[23], 1);
  assert.throws(() => encodeName({ hostname: "localhost", port: 1 }, linux), /EINVAL/);
  assert.throws(() => encodeName({ path: "/x".repeat(60) }, linux), /ENAMETOOLONG/);
});

const read = (...words: string[]) => runOptions(parseArguments(words, run));

test("run's options are read, and bad ones say what to write", () => {
  const options = read("-l", "8080=web", "--listen=unix:/a=b/c", "--grace", "8s", "--", "x", "-l");
  assert.deepEqual(options.command, ["x", "-l"]);
  assert.deepEqual(options.listen.map(({ name }) => name), ["web", "unknown"]);
  assert.deepEqual(options.listen[1]?.address, { kind: "unix", path: "/a=b/c" });
  assert.deepEqual([options.restart, options.graceMs], [false, 8000]);
  assert.equal(read("--restart", "on-failure", "x").restart, true);
  const refusals: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /what is to be run/],
    [["--restart", "always", "x"], /must be "on-failure" or "no", not "always"/],
    [["-l", "nonsense:", "x"], /--listen nonsense:/],
    [["-l", "80=a:b", "x"], /cannot be the name of a socket/],
    [["-l", "80=a", "-l", "81=a", "x"], /two sockets are called "a"/],
    [["--grace", "soon", "x"], /--grace must be a time/],
  ];
  for (const [words, why] of refusals) {
    assert.throws(() => read(...words), (error: Error) => why.test(error.message), words.join(" "));
  }
});

/** A machine in memory; processes are started as 10, 20, 30 and so on. */
class FakeWorld implements World {
  time = 0;
  living: Member[] = [];
  told: number | undefined;
  refuses: Error | undefined;
  hears = (_pid: number) => true;
  readonly sent: string[] = [];
  readonly messages: string[] = [];
  #starts = 0;
  #timers: { at: number; callback: () => void }[] = [];
  now = () => this.time;
  after(ms: number, callback: () => void) {
    const timer = { at: this.time + ms, callback };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }
  start() {
    if (this.refuses !== undefined) return Promise.reject(this.refuses);
    this.told = undefined;
    this.#starts += 10;
    this.living.push(member(this.#starts, 1));
    return Promise.resolve(this.#starts);
  }
  members = () => this.living.filter(({ started }) => started >= this.#starts);
  isAlive = ({ pid }: Member) => this.living.some((other) => other.pid === pid);
  kill(pid: number, signal: string) {
    this.sent.push(`${signal} ${pid}`);
    return true;
  }
  toldWithinMs = (pid: number) => this.hears(pid) ? 10_000 : 0;
  collect() {}
  owner = () => this.told;
  say = (message: string) => void this.messages.push(message);
  exitCode = exitCodeOf;
  /** Lets time pass, a timer after the other. */
  async pass(ms: number) {
    const end = this.time + ms;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.time = next.at;
      next.callback();
      await Promise.resolve();
      await Promise.resolve();
    }
    this.time = end;
  }
  gone(pid: number) {
    this.living = this.living.filter((other) => other.pid !== pid);
  }
}

async function supervise(wishes: Partial<Wishes> = {}) {
  const world = new FakeWorld();
  const supervisor = new Supervisor(world, { restart: false, graceMs: undefined, ...wishes });
  await supervisor.begin();
  let code: number | undefined;
  void supervisor.ended.then((ended) => code = ended);
  return {
    world,
    supervisor,
    end(pid: number, how: Partial<End>) {
      world.gone(pid);
      supervisor.told(pid, { code: null, signal: null, ...how });
    },
    async code() {
      await Promise.resolve();
      return code;
    },
  };
}

test("a supervisor ends as the newest generation does, when no older one is left", async () => {
  const { world, supervisor, end, code } = await supervise();
  world.living.push(member(12, 10, 10), member(13, 12));
  world.told = 12;
  supervisor.signal("SIGUSR2");
  end(12, { code: 3 });
  assert.equal(await code(), undefined, "generation 10 still has connections");
  end(10, { code: 0 });
  assert.equal(await code(), 3, "a subprocess is not waited for");
  assert.deepEqual(world.sent, ["SIGUSR2 12"]);
});

test("a supervisor starts a failed service again, after pauses, until it is told to stop", async () => {
  const { world, supervisor, end, code } = await supervise({ restart: true });
  end(10, { signal: "SIGSEGV" });
  await world.pass(99);
  assert.equal(world.living.length, 0);
  await world.pass(1);
  assert.deepEqual(world.living.map(({ pid }) => pid), [20]);
  end(20, { code: 1 });
  supervisor.signal("SIGHUP"); // at once
  await world.pass(0);
  assert.deepEqual(world.living.map(({ pid }) => pid), [30]);
  world.refuses = Object.assign(new Error("there is no such program"), { exitCode: 127 });
  end(30, { code: 2 });
  await world.pass(400 + 799);
  assert.match(world.messages.at(-1) ?? "", /no such program; starting it again in 800 ms/);
  world.refuses = undefined;
  await world.pass(1);
  assert.deepEqual(world.living.map(({ pid }) => pid), [40]);
  end(40, { code: 5 });
  supervisor.signal("SIGTERM");
  assert.equal(await code(), 5);
  await world.pass(60_000);
  assert.equal(world.living.length, 0);
});

test("a supervisor starts nothing again that ended well, was stopped, or by a signal that is no failure", async () => {
  const ends: readonly (readonly [Partial<End>, number, boolean])[] = [
    [{ code: 0 }, 0, false],
    [{ signal: "SIGTERM" }, 143, false],
    [{ code: 1 }, 1, true],
    [{ signal: "SIGKILL" }, 137, true],
  ];
  for (const [how, expected, stopped] of ends) {
    const { supervisor, end, code } = await supervise({ restart: true });
    if (stopped) supervisor.signal("SIGINT");
    end(10, how);
    assert.equal(await code(), expected);
  }
});

test("a supervisor that is not told how the newest ended looks whether it was stopped in order", async () => {
  for (const stopped of [true, false]) {
    const { world, end, code } = await supervise();
    world.living.push(member(12, 10, 10));
    world.told = 12;
    await world.pass(200);
    world.hears = (pid) => pid !== 12;
    world.gone(12);
    if (stopped) world.told = undefined;
    await world.pass(200);
    end(10, { code: 0 });
    assert.equal(await code(), stopped ? 0 : 1);
    assert.match(world.messages[0] ?? "", /process 12 has ended, and its exit status went to/);
  }
});

test("a supervisor sees an owner that died before it was seen alive", async () => {
  const { world, end, code } = await supervise({ restart: true });
  await world.pass(200);
  world.told = 12;
  world.hears = () => false;
  await world.pass(200);
  await world.pass(100);
  assert.deepEqual(world.living.map(({ pid }) => pid), [10, 20], "10 drains, 20 was started");
  end(20, { code: 0 });
  assert.equal(await code(), undefined);
  world.gone(10);
  await world.pass(200);
  assert.equal(await code(), 0, "the older start is waited for, too");
});

test("a second stop signal reaches what still drains, and after the grace everything is killed", async () => {
  const { world, supervisor, end, code } = await supervise({ graceMs: 1000 });
  world.living.push(member(12, 10, 10));
  world.told = 12;
  supervisor.signal("SIGTERM");
  world.told = undefined;
  end(12, { code: 0 });
  supervisor.signal("SIGTERM");
  await world.pass(1000);
  assert.deepEqual(world.sent, ["SIGTERM 12", "SIGTERM 10", "SIGKILL 10"]);
  end(10, { signal: "SIGKILL" });
  assert.equal(await code(), 0);
});

test("a stop that calls an upgrade off at the last moment ends as the one that was told to stop", async () => {
  const { world, supervisor, end, code } = await supervise({ restart: true });
  world.living.push(member(12, 10, 10));
  supervisor.signal("SIGTERM");
  world.told = 12;
  await world.pass(200);
  end(12, { code: 1 });
  assert.equal(await code(), undefined);
  end(10, { code: 0 });
  assert.equal(await code(), 0);
  assert.deepEqual(world.sent, ["SIGTERM 10", "SIGTERM 12"]);
});

test("a stop that reached a generation at its very end reaches the successor", async () => {
  const { world, supervisor, end, code } = await supervise();
  world.living.push(member(12, 10, 10));
  supervisor.signal("SIGINT"); // nobody tells who the owner is: the older one passes it on
  end(10, { code: 0 });
  end(12, { code: 0 });
  assert.deepEqual(world.sent, ["SIGINT 10", "SIGINT 12"]);
  assert.equal(await code(), 0);
});
