// Runs on: node26
// What the containers of examples/docker/ run, with the package as it is published: no image is built.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { root } from "../../scripts/runtimes.mjs";
import { get, until } from "../support/chain.ts";
import { runtimes } from "../support/runtimes.ts";

const examples = join(root, "examples/docker");
const PATIENCE_MS = 30_000;

describe("the examples for Docker", () => {
  let app = "";

  before(() => {
    app = mkdtempSync(join(tmpdir(), "co-docker-"));
    const library = join(app, "node_modules/changeover");
    mkdirSync(join(app, "node_modules/.bin"), { recursive: true });
    mkdirSync(library);
    execFileSync(process.execPath, [
      join(root, "scripts/build.mjs"),
      "--out",
      join(library, "dist"),
    ]);
    copyFileSync(join(root, "package.json"), join(library, "package.json"));
    copyFileSync(join(examples, "server.js"), join(app, "server.js"));
    chmodSync(join(library, "dist/cli.js"), 0o755); // as npm does it
    symlinkSync("../changeover/dist/cli.js", join(app, "node_modules/.bin/changeover"));
    writeFileSync(join(app, "package.json"), '{ "type": "module" }');
    // The program of the image.
    mkdirSync(join(app, "bin"));
    for (const name of ["node24", "deno", "bun"]) {
      const executable = runtimes.find((runtime) => runtime.name === name)?.executable;
      if (executable !== undefined) {
        symlinkSync(executable, join(app, "bin", name.replace(/\d+$/, "")));
      }
    }
  });

  after(() => rmSync(app, { recursive: true, force: true }));

  for (const name of ["node", "deno", "bun"] as const) {
    const isHere = runtimes.some(({ runtime }) => runtime === name);
    test(`${name}.Dockerfile: its command starts, upgrades and stops the service`, {
      timeout: 120_000,
      skip: isHere ? false : `${name} is not installed`,
    }, async (t) => {
      const dockerfile = readFileSync(join(examples, `${name}.Dockerfile`), "utf8");
      const words = JSON.parse(/^CMD (\[.*\])$/m.exec(dockerfile)?.[1] ?? "[]") as string[];
      // What is not published yet.
      const command = words.map((word) =>
        word === "jsr:@changeover/changeover/cli" ? join(root, "src/cli/main.ts") : word
      );
      const path = join(app, `${name}.sock`);
      const runner = spawn(command[0] ?? "", command.slice(1), {
        cwd: app,
        env: {
          ...process.env,
          PATH: `${join(app, "bin")}:${process.env["PATH"]}`,
          LISTEN: `unix:${path}`,
          NO_COLOR: "1",
        },
        stdio: ["ignore", "pipe", "pipe"],
      });
      t.after(() => runner.kill("SIGKILL"));
      const { text, ended } = watch(runner);
      const answers = async (expected: string) => {
        const ask = () => get({ path }).then(({ text }) => text, () => "");
        await until(`"${expected}" is answered`, async () => await ask() === expected, PATIENCE_MS)
          .catch((error) => assert.fail(`${error.message}: ${text()}`));
      };
      await answers(`generation 1 on ${name}\n`);
      process.kill(runner.pid ?? 0, "SIGHUP");
      await answers(`generation 2 on ${name}\n`);
      process.kill(runner.pid ?? 0, "SIGTERM");
      assert.equal(await ended, 0, text());
    });
  }
});

/** What a process says, and how it ends. */
function watch(child: ChildProcess): { text: () => string; ended: Promise<number | null> } {
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Uint8Array) => text += new TextDecoder().decode(chunk));
  }
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  ended.catch(() => {}); // it is awaited later
  return { text: () => text, ended };
}
