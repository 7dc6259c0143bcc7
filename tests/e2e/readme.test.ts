// Runs on: node22, node26, deno, bun
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it, test, type TestContext } from "node:test";
import { root } from "../../scripts/runtimes.mjs";
import { get, isRunning, until } from "../support/chain.ts";
import { current, runtimes } from "../support/runtimes.ts";

const runtime = current();
const readme = readFileSync(join(root, "README.md"), "utf8");
const section = /^## Use it\n([^]*?)^## /m.exec(readme)?.[1] ?? "";
const blocks = [...section.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code = ""]) => code);
const programs = blocks.filter((code) => /^import .* from "changeover\b/m.test(code));
const listens = blocks.filter((code) => !programs.includes(code))
  .flatMap((code) => code.split("\n").filter((line) => line !== ""));
const [hangUp = ""] = /kill -HUP [^`]+/.exec(section) ?? [];
const [needs = ""] = /On Deno the process needs\s[^.]+/.exec(section) ?? [];
const permissions = [...needs.matchAll(/--allow-[a-z]+/g)].map(([flag]) => flag);

// What the readme leaves to its reader, by the name that its lines use.
const ASSUMED: Readonly<Record<string, string>> = {
  expressApp: `import express from "express";
const expressApp = express().get("/", (_request, response) => response.send("hello\\n"));`,
  fastify: `import { fastify as createFastify } from "fastify";
const fastify = createFastify().get("/", () => "hello\\n");`,
};

const LISTEN = /^await upgrader\.listen\(.*$/m;

test("the readme shows programs, and other servers for the first one", () => {
  assert.match(programs[0] ?? "", LISTEN);
  assert.ok(listens.length > 0);
  for (const line of listens) assert.match(line, LISTEN);
  for (const name of Object.keys(ASSUMED)) assert.ok(section.includes(name), name);
  assert.match(hangUp, /^kill -HUP \$\(cat \S+\)$/);
  assert.ok(permissions.length > 0);
});

describe("a program of the readme says hello before and after the readme's signal", () => {
  let project = "";
  before(() => {
    project = mkdtempSync(join(tmpdir(), "co-"));
    install(project);
  }, { timeout: 120_000 });
  after(() => rmSync(project, { recursive: true }));

  for (const code of programs) {
    const [, imported = ""] = /^(import .* "changeover[^"]*")/m.exec(code)!;
    it(`as it stands, with ${imported}`, limits(), (t) => {
      // On Deno with the permissions that the readme names, and no others.
      const command = runtime.runtime === "deno"
        ? [runtime.executable, "run", "--no-prompt", ...permissions, "server.ts"]
        : runtime.command("server.ts");
      return live(t, { project, command, code });
    });
  }

  for (const line of listens) {
    const only = /\bBun\./.test(line) ? "bun" : /\bDeno\./.test(line) ? "deno" : runtime.runtime;
    const skip = only !== runtime.runtime && `runs on ${only} only`;
    const [call = ""] = line.split(" //");
    it(`with ${call.trim()}`, limits(skip), (t) => {
      const assumed = Object.keys(ASSUMED).filter((name) => call.includes(name));
      const preamble = assumed.map((name) => ASSUMED[name]);
      const code = [...preamble, programs[0]!.replace(LISTEN, () => line)].join("\n");
      return live(t, { project, command: runtime.command("server.ts"), code });
    });
  }
});

test("every npm script that the documents name exists", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const document of ["README.md", "CONTRIBUTING.md"]) {
    const text = readFileSync(join(root, document), "utf8");
    const named = [...text.matchAll(/\bnpm run ([\w:-]+)/g)].map(([, name]) => name);
    assert.ok(named.length > 0, document);
    for (const name of named) assert.ok(name! in scripts, `${document}: npm run ${name}`);
  }
});

test("every file that the readme links to exists", () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, link]) => link!);
  assert.ok(links.length > 0);
  for (const link of links) assert.ok(existsSync(join(root, link)), link);
});

function limits(skip: string | false = false): { timeout: number; skip: string | false } {
  return { timeout: 120_000, skip };
}

async function live(t: TestContext, { project, command, code }: Program): Promise<void> {
  const folder = mkdtempSync(join(project, "server-"));
  const pidFile = join(folder, "app.pid");
  const port = await freePort();
  // Nothing else differs from what is printed.
  const own = (text: string) =>
    text.replaceAll("/run/app.pid", pidFile).replaceAll("8080", String(port));
  writeFileSync(join(folder, "server.ts"), own(code));
  const server = new Server(command, folder);
  t.after(() => server.kill());
  const first = server.pid;

  const owner = () => existsSync(pidFile) ? Number(readFileSync(pidFile, "utf8")) : first;
  const says = async () => (await get({ host: "127.0.0.1", port })).text;
  await server.until(
    "it has written its PID file",
    () => existsSync(pidFile) || server.exitCode !== null,
  );
  assert.equal(server.exitCode, null, server.output);
  assert.equal(owner(), first);
  assert.match(await says(), /^hello\b.*\n$/);

  execFileSync("sh", ["-c", own(hangUp)]);
  await server.until("its successor has taken over", () => owner() !== first);
  const second = owner();
  await server.until("it has ended by itself", () => server.exitCode !== null);
  assert.equal(server.exitCode, 0, server.output);
  assert.match(await says(), /^hello\b.*\n$/);

  process.kill(second, "SIGTERM");
  await server.until("its successor has ended by itself", () => !isRunning(second));
  await assert.rejects(says(), { code: "ECONNREFUSED" });
}

interface Program {
  readonly project: string;
  readonly command: readonly string[];
  readonly code: string;
}

/** A server, and its successors in the same process group. */
class Server {
  output = "";
  readonly #first: ChildProcess;

  constructor([file = "", ...args]: readonly string[], cwd: string) {
    this.#first = spawn(file, args, { cwd, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#first.stdout, this.#first.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => this.output += text);
    }
  }

  get pid(): number {
    return this.#first.pid!;
  }

  get exitCode(): number | null {
    return this.#first.exitCode;
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    try {
      await until(what, holds, 40_000);
    } catch (error) {
      throw new Error(`The server said:\n${this.output}`, { cause: error });
    }
  }

  kill(): void {
    try {
      process.kill(-this.pid, "SIGKILL");
    } catch {
      // All of them have ended.
    }
  }
}

/** Makes a project with a build of this tree and the frameworks. */
function install(project: string): void {
  const modules = join(project, "node_modules");
  const own = join(modules, "changeover");
  mkdirSync(own, { recursive: true });
  cpSync(join(root, "package.json"), join(own, "package.json"));
  const node = runtimes.find(({ runtime }) => runtime === "node")!.executable;
  const build = [join(root, "scripts/build.mjs"), "--out", join(own, "dist")];
  execFileSync(node, build, { stdio: "pipe" });
  const others = ["express", "fastify", "srvx"];
  for (const name of others) symlinkSync(join(root, "node_modules", name), join(modules, name));
  const dependencies = Object.fromEntries(["changeover", ...others].map((name) => [name, "*"]));
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module", dependencies }));
}

/** A port that the system gives to no client: ephemeral ones begin at 32768 (ip(7)). */
async function freePort(): Promise<number> {
  for (let port = 20_000 + process.pid % 10_000;; port++) {
    const probe = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      probe.once("error", () => resolve(false));
      probe.listen({ port }, () => probe.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
