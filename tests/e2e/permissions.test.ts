// Runs on: node22, node26, deno, bun
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { platform } from "../../src/backend/libc/platform.ts";
import { Asker } from "../support/askers.ts";
import { Chain, get, isRunning, until } from "../support/chain.ts";
import { control } from "../support/control_client.ts";
import { current } from "../support/runtimes.ts";

const script = fileURLToPath(new URL("../fixtures/permissions.ts", import.meta.url));
const deno = current();
const options = {
  timeout: 60_000,
  skip: deno.runtime === "deno" ? false : "permissions are Deno's",
};

const TCP = ["--allow-net", "--allow-env", "--allow-run", "--allow-ffi"];
const FILES = ["--allow-read", "--allow-write"];

/** Starts the server with these flags and no others; nobody is there to answer a prompt. */
function start(t: TestContext, flags: readonly string[], args: readonly string[]): Chain {
  const chain = new Chain({
    runtime: {
      ...deno,
      command: (path) => [deno.executable, "run", "--no-prompt", ...flags, path, ...args],
    },
    script,
  });
  t.after(() => chain.end());
  return chain;
}

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Upgrades under load. */
async function upgrade(chain: Chain): Promise<void> {
  const { pid, addresses } = await chain.event("ready", 1);
  const askers = (addresses as { name: string }[]).map(({ name }) =>
    new Asker("http", chain.address(name))
  );
  const all = (holds: (asker: Asker) => boolean) => () =>
    askers.every((asker) => asker.asked.lost.length > 0 || holds(asker));
  try {
    await until("every socket has answered", all(({ asked }) => asked.count > 0));
    process.kill(pid, "SIGHUP");
    const commandLine = (of: number) => readFileSync(`/proc/${of}/cmdline`, "utf8");
    const before = commandLine(pid);
    const child = (await chain.event("ready", 2)).pid;
    assert.equal(commandLine(child), before, "the child has no other permissions");
    await chain.event("exit", 1);
    await until(
      "the successor has answered on every socket",
      all(({ asked }) => asked.answers.includes("2")),
    );
    await until("the parent has ended by itself", () => !isRunning(pid));
  } finally {
    for (const asker of askers) assert.deepEqual((await asker.stop()).lost, []);
  }
}

/** Why a process that has no such permission ended. */
async function ended(chain: Chain): Promise<string> {
  const { pid } = chain.first;
  await until("it has ended", () => !isRunning(pid ?? 0));
  const told = () =>
    chain.said.map(({ code, message }) => `${code}: ${message}`).join() ||
    chain.errors;
  await until("it has told why", () => told() !== "");
  assert.deepEqual(chain.said.filter(({ event }) => event !== "error"), []);
  return told();
}

test(
  "the flags that README names suffice for an upgrade that loses nothing",
  options,
  async (t) => {
    const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
    assert.ok(readme.includes(`\`${TCP.join(" ")}\``) && readme.includes(`\`${FILES.join(" ")}\``));
    await upgrade(start(t, TCP, ["127.0.0.1,127.0.0.1"]));

    const folder = folderFor(t);
    const paths = ["a.sock", "b.sock"].map((name) => join(folder, name));
    const pidFile = join(folder, "app.pid");
    const path = join(folder, "c.sock");
    const chain = start(t, [...TCP, ...FILES], [`127.0.0.1,127.0.0.1,${paths}`, pidFile, path]);
    await upgrade(chain);
    const { pid } = await chain.event("ready", 2);
    assert.equal(readFileSync(pidFile, "utf8"), `${pid}\n`);
    assert.equal((await control(path, "GET", "/status")).json.pid, pid);
    process.kill(pid, "SIGTERM");
    await until("the child has ended by itself", () => !isRunning(pid));
    assert.deepEqual(readdirSync(folder), []);
  },
);

test(
  "a flag that is missing is named in the error, and nothing waits for an answer",
  options,
  async (t) => {
    const folder = folderFor(t);
    const without = (flag: string, files: readonly string[] = FILES, args = ["127.0.0.1"]) =>
      ended(start(t, [...TCP, ...files].filter((other) => other !== flag), args));
    assert.match(await without("--allow-net"), /Requires net access .*--allow-net/);
    assert.match(await without("--allow-env"), /Requires env access .*--allow-env/);
    assert.match(await without("--allow-ffi"), /^ERR_UNSUPPORTED: .*--allow-ffi/);
    for (const flag of FILES) {
      const unix = await without(flag, FILES, [join(folder, "a.sock")]);
      assert.match(unix, new RegExp(`^(?:ERR_ADDRESS|NotCapable): .*${flag}`));
      const pid = await without(flag, FILES, ["127.0.0.1", join(folder, "app.pid")]);
      assert.match(pid, new RegExp(`^Error: Cannot use PID file .*${flag}`));
    }
    // Deno names a Unix socket by its path, and the control socket is bound in a folder whose name is new each time.
    const list = ["--allow-net=127.0.0.1", ...TCP.slice(1), ...FILES];
    const socket = await ended(start(t, list, ["127.0.0.1", "", join(folder, "c.sock")]));
    assert.match(socket, /^ERR_ADDRESS: Cannot use control socket .*--allow-net/);
    assert.deepEqual(readdirSync(folder), []);
  },
);

test(
  "an upgrade that may not start a process fails with ERR_SPAWN, and the old process goes on",
  options,
  async (t) => {
    const chain = start(t, TCP.filter((flag) => flag !== "--allow-run"), ["127.0.0.1,127.0.0.1"]);
    const { pid } = await chain.event("ready", 1);
    process.kill(pid, "SIGHUP");
    const { code, message } = await chain.event("failed");
    assert.equal(code, "ERR_SPAWN");
    assert.match(message, /--allow-run/);
    assert.equal((await chain.get("/", undefined, "socket0")).text, "1");
  },
);

test(
  "a child that may not open its placeholder fails the upgrade, names the flag, and the old process goes on",
  options,
  async (t) => {
    const flags = ["--allow-net=0.0.0.0", ...TCP.slice(1)];
    const chain = start(t, flags, ["0.0.0.0,0.0.0.0"]);
    const { pid } = await chain.event("ready", 1);
    process.kill(pid, "SIGHUP");
    const { code, message } = await chain.event("failed");
    assert.equal(code, "ERR_CHILD_FAILED");
    assert.match(message, /net access to "127\.0\.0\.1:0".*--allow-net/);
    for (const name of ["socket0", "socket1"]) {
      assert.equal((await get(chain.address(name))).text, "1");
    }
  },
);

test("tighter forms of the flags suffice as well", options, async (t) => {
  const libraries = platform(process.platform, process.arch)?.libraries ?? [];
  const library = libraries.find((path) => path.startsWith("/") && existsSync(path));
  assert.ok(library !== undefined, "no C library has one of the known paths");
  const folder = folderFor(t);
  const chain = start(t, [
    "--allow-net=0.0.0.0,127.0.0.1",
    "--allow-env",
    `--allow-run=${deno.executable}`,
    `--allow-ffi=${library}`,
    `--allow-read=${folder}`,
    `--allow-write=${folder}`,
  ], ["0.0.0.0,0.0.0.0", join(folder, "app.pid")]);
  await upgrade(chain);
});
