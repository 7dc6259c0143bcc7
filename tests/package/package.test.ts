import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { after, before, describe, it, test } from "node:test";
import { describe as runtimeAt, root } from "../../scripts/runtimes.mjs";
import { current, runtimes, type TestRuntime } from "../support/runtimes.ts";

// What npm's users get: the package is packed, unpacked into an empty project, and used there. What it is made of
// does not depend on who runs this test, so one runner is enough.
const runner = runtimes.find(({ name }) => name === "node24") ?? runtimes[0];
const reason = current().name !== runner?.name
  ? `runs on ${runner?.name} only`
  : existsSync(join(root, "mod.ts"))
  ? false
  : "mod.ts does not exist yet";

const PROGRAM = `
import http from "node:http";
import process from "node:process";
import { Upgrader } from "changeover";

const say = (what) => console.log(JSON.stringify({ pid: process.pid, ...what }));
const upg = await Upgrader.create();
const server = http.createServer((request, response) => {
  response.end(String(upg.generation));
  if (request.url === "/upgrade") upg.upgrade().then(() => say({ upgraded: true }), (error) => say({ error: error.stack }));
  if (request.url === "/stop") upg.stop();
});
await upg.listen({ port: 0, hostname: "127.0.0.1", name: "web" }, server);
await upg.ready();
say({ ready: upg.generation, port: server.address()?.port });
const reason = await upg.exit;
await upg.drain();
say({ left: upg.generation, reason });
`;

const SERVE = `
import process from "node:process";
import { serve } from "changeover/serve";

const say = (what) => console.log(JSON.stringify({ pid: process.pid, ...what }));
try {
  const { upgrader, finished } = await serve({
    port: 0,
    hostname: "127.0.0.1",
    name: "web",
    fetch: async (request, { upgrader }) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/upgrade") upgrader.upgrade().then(() => say({ upgraded: true }), (error) => say({ error: error.stack }));
      if (pathname === "/stop") upgrader.stop();
      return new Response(String(upgrader.generation));
    },
  });
  say({ ready: upgrader.generation, port: upgrader.addresses[0].port });
  const { reason } = await finished;
  say({ left: upgrader.generation, reason });
} catch ({ code, message }) {
  say({ refused: code, message });
}
`;

const TYPES = `
import { createServer } from "node:http";
import { UpgradeError, Upgrader, type UpgraderOptions } from "changeover";
import { serve, type ServeOptions } from "changeover/serve";

const options: UpgraderOptions = { pidFile: "/run/app.pid" };
const upg: Upgrader = await Upgrader.create(options);
const server = await upg.listen({ port: 8080 }, createServer());
server.on("request", () => {});
await upg.ready();
const reason: "upgraded" | "stopped" = await upg.exit;
console.log(reason, UpgradeError.is(reason));
// @ts-expect-error: there is no such option
await Upgrader.create({ nonsense: true });

const serving: ServeOptions = {
  ...options,
  port: 8080,
  fetch: (request, { remoteAddress }) => new Response(request.url + remoteAddress),
};
const { finished } = await serve(serving);
console.log((await finished).drain.cut);
// @ts-expect-error: fetch answers with a Response
await serve({ port: 8080, fetch: () => "hello" });
`;

// Bun does not mention a suite that is skipped, so what is skipped is a test.
if (reason === false) describe("the npm package", suite);
else test("the npm package", { skip: reason }, () => {});

function suite(): void {
  let project = "";

  before(() => {
    project = mkdtempSync(join(tmpdir(), "changeover-package-"));
    installPackage(project);
  }, { timeout: 180_000 });

  after(() => rmSync(project, { recursive: true, force: true }));

  for (const runtime of [...oldest(), ...newer()]) {
    it(`replaces a running server on ${runtime.name}`, { timeout: 120_000 }, async () => {
      await useServer(new Program(runtime, project, "server.mjs"));
    });

    const needsPeer = runtime.runtime === "node";
    const without = needsPeer ? "says what to install" : "needs nothing else";
    it(`without its optional peer, changeover/serve ${without} on ${runtime.name}`, {
      timeout: 120_000,
    }, async () => {
      const program = new Program(runtime, project, "serve.mjs");
      if (!needsPeer) return await useServer(program);
      try {
        const { message } = await program.says("refused", "ERR_UNSUPPORTED");
        assert.match(String(message), /npm install srvx/);
        assert.equal(await program.exitCode, 0);
      } finally {
        program.kill();
      }
    });
  }

  it("is a program, for npx, bunx and by its path", { timeout: 120_000 }, () => {
    const wanted = `${JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version}\n`;
    const script = join(project, "node_modules/.bin/changeover");
    const started = [...oldest(), ...newer()].map((runtime) =>
      runtime.command(script, ["--version"])
    );
    const bun = runtimes.find(({ runtime }) => runtime === "bun");
    if (bun !== undefined) {
      started.push([bun.executable, "x", "--no-install", "changeover", "--version"]);
    }
    started.push(["npx", "--no-install", "changeover", "--version"], [script, "--version"]);
    for (const [file = "", ...args] of started) {
      const said = execFileSync(file, args, { cwd: project, encoding: "utf8" });
      assert.equal(said, wanted, file);
    }
  });

  it("is loaded by require() on Node 22 and newer", () => {
    const code = 'console.log(typeof require("changeover").Upgrader.create, ' +
      'typeof require("changeover/serve").serve)';
    for (const { runtime, executable } of runtimes) {
      if (runtime !== "node") continue;
      const output = execFileSync(executable, ["-e", code], { cwd: project, encoding: "utf8" });
      assert.equal(output, "function function\n");
    }
  });

  it("with its optional peer, changeover/serve serves on Node", { timeout: 120_000 }, async () => {
    const peer = join(project, "node_modules/srvx");
    symlinkSync(join(root, "node_modules/srvx"), peer);
    try {
      for (const runtime of [...oldest(), ...newer()]) {
        if (runtime.runtime !== "node") continue;
        await useServer(new Program(runtime, project, "serve.mjs"));
      }
    } finally {
      rmSync(peer);
    }
  });

  for (const resolution of ["nodenext", "bundler"]) {
    it(`has types for "moduleResolution": "${resolution}"`, { timeout: 120_000 }, () => {
      compile(project, resolution);
    });
  }
}

async function useServer(program: Program): Promise<void> {
  try {
    const first = await program.says("ready", 1);
    const at = `http://127.0.0.1:${first["port"]}`;
    assert.equal(await (await fetch(at)).text(), "1");

    assert.equal(await (await fetch(`${at}/upgrade`)).text(), "1");
    await program.says("ready", 2);
    await program.says("upgraded", true);
    assert.equal((await program.says("left", 1))["reason"], "upgraded");
    assert.equal(await program.exitCode, 0);

    assert.equal(await (await fetch(at, { headers: { connection: "close" } })).text(), "2");
    assert.equal(await (await fetch(`${at}/stop`)).text(), "2");
    assert.equal((await program.says("left", 2))["reason"], "stopped");
    await program.gone();
  } catch (error) {
    throw new Error(`The program said:\n${program.output}`, { cause: error });
  } finally {
    program.kill();
  }
}

/** A running server and its successors, all of which write to the same pipe. */
class Program {
  output = "";
  readonly exitCode: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  #receivers: (() => void)[] = [];

  constructor(runtime: TestRuntime, cwd: string, script: string) {
    const [executable = "", ...args] = runtime.command(script);
    // A group of its own, so that kill() also reaches the successors.
    this.#child = spawn(executable, args, {
      cwd,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
        this.#receivers.splice(0).forEach((receive) => receive());
      });
    }
    this.exitCode = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#closed = new Promise((resolve) => this.#child.once("close", () => resolve()));
  }

  /** Waits for a line that has `key` with that value. */
  async says(key: string, value: unknown): Promise<Record<string, unknown>> {
    const deadline = performance.now() + 40_000;
    for (;;) {
      for (const line of this.output.split("\n").filter((line) => line.startsWith("{"))) {
        const said: Record<string, unknown> = JSON.parse(line);
        if (said[key] === value) return said;
        if (said["error"] !== undefined) throw new Error(String(said["error"]));
      }
      await within(
        deadline - performance.now(),
        `a line with ${key} ${value}`,
        new Promise<void>((resolve) => this.#receivers.push(resolve)),
      );
    }
  }

  /** Waits until every process that held the pipe has ended. */
  gone(): Promise<void> {
    return within(40_000, "the last generation to end", this.#closed);
  }

  kill(): void {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // all of them have ended
    }
  }
}

async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited in vain for ${what}`)), Math.max(ms, 0));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Packs a copy, so that nobody else's dist/ is touched, and unpacks it where `npm install` would. */
function installPackage(project: string): void {
  const copy = join(project, "copy");
  for (const name of ["package.json", "README.md", "LICENSE", "CHANGELOG.md", "ARCHITECTURE.md"]) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(copy, name));
  }
  node("scripts/build.mjs", "--out", join(copy, "dist"));
  execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", project], {
    cwd: copy,
    stdio: "pipe",
  });
  const target = join(project, "node_modules/changeover");
  mkdirSync(target, { recursive: true });
  const archive = readdirSync(project).find((name) => name.endsWith(".tgz")) ?? "";
  execFileSync("tar", ["-xzf", join(project, archive), "-C", target, "--strip-components=1"]);
  rmSync(copy, { recursive: true });

  // What npm and Bun make of `bin`.
  const program = join(target, "dist/cli.js");
  chmodSync(program, 0o755);
  mkdirSync(join(project, "node_modules/.bin"));
  symlinkSync(program, join(project, "node_modules/.bin/changeover"));

  writeFileSync(join(project, "package.json"), `{ "dependencies": { "changeover": "*" } }`);
  writeFileSync(join(project, "server.mjs"), PROGRAM);
  writeFileSync(join(project, "serve.mjs"), SERVE);
  writeFileSync(join(project, "user.mts"), TYPES);
}

function compile(project: string, moduleResolution: string): void {
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        target: "es2023",
        module: moduleResolution === "nodenext" ? "nodenext" : "esnext",
        moduleResolution,
        types: ["node"],
        typeRoots: [join(root, "node_modules/@types")],
      },
      files: ["user.mts"],
    }),
  );
  node("node_modules/typescript/bin/tsc", "-p", project);
}

function node(script: string, ...args: readonly string[]): void {
  try {
    execFileSync(process.execPath, [join(root, script), ...args], {
      stdio: "pipe",
      encoding: "utf8",
    });
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout: string; readonly stderr: string };
    throw new Error(`${script} failed:\n${stdout}${stderr}`);
  }
}

/** The oldest Node that the package is for, when the machine has one; it cannot run the tests themselves. */
function oldest(): readonly TestRuntime[] {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const executable = folders.map((folder) => join(folder, "node")).find((path) =>
    existsSync(path) &&
    execFileSync(path, ["--version"], { encoding: "utf8" }).startsWith("v20.")
  );
  return executable === undefined ? [] : [runtimeAt("node20", "node", executable)];
}

function newer(): readonly TestRuntime[] {
  const first = runtimes.find(({ runtime }) => runtime === "node");
  return runtimes.filter((runtime) => runtime === first || runtime.runtime !== "node");
}
