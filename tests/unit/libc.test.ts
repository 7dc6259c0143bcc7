import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { missing, runtimes, type TestRuntime } from "../support/runtimes.ts";

const fixture = fileURLToPath(new URL("../fixtures/libc.ts", import.meta.url));

/** Runs a command line; resolves with what it printed, rejects with what it said when it failed. */
function run(command: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const [file = "", ...args] = command;
    execFile(file, args, { timeout: 50_000 }, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr });
      else reject(new Error(`${error.message}\n${stderr}`));
    });
  });
}

async function report(runtime: TestRuntime, flags: readonly string[] = []): Promise<unknown> {
  const { stdout } = await run(runtime.command(fixture, [], flags));
  return JSON.parse(stdout);
}

/** What the fixture reports on Linux, where the C library is to be had. */
const complete = {
  cached: true,
  flags: {
    fresh: [true, true],
    cleared: [false, false],
    copy: [true, true, true],
    open: [true, false],
    afterClose: false,
  },
  replace: { family: "inet", keeps: [true, false], same: true },
  sockets: {
    "inet stream": [
      false,
      { family: "inet", type: "stream", listening: true },
      ["127.0.0.1", true],
    ],
    "inet datagram": [
      false,
      { family: "inet", type: "datagram", listening: false },
      ["127.0.0.1", true],
    ],
    "inet6 stream": [
      false,
      { family: "inet6", type: "stream", listening: true, v6Only: true },
      ["::1", true],
    ],
    "inet6 datagram": [
      false,
      { family: "inet6", type: "datagram", listening: false, v6Only: true },
      ["::1", true],
    ],
    "unix stream": [false, { family: "unix", type: "stream", listening: true }, true],
    "unix datagram": [false, { family: "unix", type: "datagram", listening: false }, true],
  },
  native: [["inet", "127.0.0.1", true, null], ["inet6", "::", true, false], ["unix", true]],
  descriptors: {
    standard: true,
    appears: true,
    disappears: true,
    noSocket: true,
    inodeOfFile: true,
  },
  files: { commandLine: true, fdinfo: true, big: true, link: true },
  writing: {
    peer: true,
    partial: true,
    waited: true,
    whole: true,
    broken: { errno: "EPIPE", syscall: "write" },
  },
  errors: [
    { errno: "EBADF", syscall: "fcntl" },
    { errno: "EBADF", syscall: "close" },
    { errno: "EBADF", syscall: "dup" },
    { errno: "EBADF", syscall: "getsockopt" },
    { errno: "ENOENT", syscall: "open" },
    { errno: "ENOENT", syscall: "readlink" },
    { errno: "EPERM", syscall: "epoll_ctl" },
    { errno: "EINVAL", syscall: "fcntl" },
  ],
  errno: { reliable: true },
};

for (const runtime of runtimes) {
  const builtIn = runtime.name === "node26" || runtime.runtime !== "node";
  const skip = process.platform !== "linux" && "what is expected is written for Linux";
  if (builtIn) {
    test(
      `Libc does what the manual says (${runtime.name})`,
      { skip, timeout: 60_000 },
      async () => {
        assert.deepEqual(await report(runtime), complete);
      },
    );
  } else {
    // With koffi beside this library it works there, too; without it the reason is what counts.
    test(`loadLibc() says what to do or works (${runtime.name})`, {
      skip,
      timeout: 60_000,
    }, async () => {
      const said = await report(runtime) as { reason?: string };
      if (said.reason === undefined) assert.deepEqual(said, complete);
      else assert.match(said.reason, /use Node 26, or install the package "koffi"/);
    });
  }
}

for (const { name, why } of missing) {
  test(`Libc does what the manual says (${name})`, { skip: why }, () => {});
}

const deno = runtimes.find((runtime) => runtime.runtime === "deno");
const node26 = runtimes.find((runtime) => runtime.name === "node26");

test("loadLibc() names the missing permission when Deno may not use FFI", {
  skip: deno === undefined && "no Deno",
  timeout: 60_000,
}, async () => {
  // Some permission has to be there: without any, Deno's node:child_process adds -A when it starts Deno.
  const { stdout } = await run([deno?.executable ?? "", "run", "--allow-env", fixture]);
  assert.deepEqual(JSON.parse(stdout), {
    cached: true,
    reason: "--allow-ffi is missing: start Deno with --allow-ffi",
  });
});

test("loadLibc() reads /proc under --allow-ffi when Deno would refuse it", {
  skip: process.platform !== "linux" || deno === undefined,
  timeout: 60_000,
}, async () => {
  const flags = ["ffi", "read", "write", "run", "net", "sys", "env"].map((it) => `--allow-${it}`);
  const { stdout } = await run([deno?.executable ?? "", "run", ...flags, fixture]);
  assert.deepEqual(JSON.parse(stdout), complete);
});

test("loadLibc() names the missing permission when Node may not use FFI", {
  skip: node26 === undefined && "no Node 26",
  timeout: 60_000,
}, async () => {
  const flags = ["--permission", "--allow-fs-read=*"];
  assert.deepEqual(await report(node26 as TestRuntime, flags), {
    cached: true,
    reason: "--allow-ffi is missing: Node runs with --permission",
  });
});

test("load.ts loads nothing when it is only imported", {
  skip: node26 === undefined && "no Node 26",
  timeout: 60_000,
}, async () => {
  const url = new URL("../../src/backend/libc/load.ts", import.meta.url).href;
  const script = `await import(${JSON.stringify(url)}); console.log("imported")`;
  const { stdout, stderr } = await run([
    node26?.executable ?? "",
    "--input-type=module",
    "--eval",
    script,
  ]);
  assert.equal(stdout, "imported\n");
  assert.doesNotMatch(stderr, /ExperimentalWarning/);
});
