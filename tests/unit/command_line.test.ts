import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { after, describe, test } from "node:test";
import {
  collectFacts,
  ownCommandLine,
  ownWorkingDirectory,
  type ProcessFacts,
} from "../../src/command.ts";
import { current } from "../support/runtimes.ts";

const facts: ProcessFacts = {
  cmdline: undefined,
  argv0: "node",
  program: "node",
  execArgv: ["--import", "./hook.js"],
  execArgvComplete: true,
  argv: ["/usr/bin/node", "/srv/releases/41/server.js", "a b", ""],
  cwd: "/srv/current",
  realCwd: "/srv/releases/41",
};

describe("ownCommandLine", () => {
  test("is the kernel's, with every argument as it was", () => {
    const cmdline = ["node", "--import", "./hook.js", "server.js", "a b", "", "x\ny"];
    assert.deepEqual(ownCommandLine({ ...facts, cmdline }), cmdline);
  });

  test("is the kernel's also when the program has edited its argv", () => {
    const cmdline = ["node", "server.js", "serve"];
    const argv = ["/usr/bin/node", "/srv/releases/41/server.js"];
    assert.deepEqual(ownCommandLine({ ...facts, cmdline, argv }), cmdline);
  });

  test("starts the program itself when its name was made up", () => {
    const cmdline = ["bogus", "server.js"];
    assert.deepEqual(
      ownCommandLine({ ...facts, cmdline, argv0: "bogus", program: "/usr/bin/node" }),
      ["/usr/bin/node", "server.js"],
    );
  });

  const again = ["node", "--import", "./hook.js", "/srv/current/server.js", "a b", ""];
  const lost: [string, readonly string[] | undefined][] = [
    ["cannot be read", undefined],
    ["has been overwritten by a title", ["my server", "", "", ""]],
    ["has been overwritten by a title that fills it", ["my server x"]],
    ["has been overwritten by a title that is the program's name", ["node", "", "", ""]],
  ];
  for (const [why, cmdline] of lost) {
    test(`is put together below the un-realpathed folder when the kernel's ${why}`, () => {
      assert.deepEqual(ownCommandLine({ ...facts, cmdline }), again);
    });
  }

  test("leaves a script elsewhere where it is when it is put together", () => {
    for (const script of ["/srv/releases/410/server.js", "/opt/app/server.js"]) {
      const argv = ["/usr/bin/node", script];
      assert.deepEqual(ownCommandLine({ ...facts, execArgv: [], argv }), ["node", script]);
    }
  });

  test("of a compiled program has no script", () => {
    const compiled: ProcessFacts[] = [
      { ...facts, cmdline: ["./app", "x"], argv: ["bun", "/$bunfs/root/app", "x"] },
      { ...facts, cmdline: undefined, argv: ["bun", "/$bunfs/root/app", "x"] },
      { ...facts, cmdline: undefined, argv: ["/srv/app", "./app", "x"] },
    ];
    for (const one of compiled) {
      const line = ownCommandLine({
        ...one,
        argv0: "./app",
        program: "./app",
        execArgv: ["--smol"],
      });
      assert.deepEqual(line, ["./app", "x"]);
    }
  });

  test("says what to do when there is no script", () => {
    const without: Partial<ProcessFacts>[] = [
      { argv: ["/usr/bin/node"] },
      { argv: ["/usr/bin/node", "-", "a"] },
      { argv: ["/usr/bin/node", "a"], execArgv: ["-e", "code"] },
      { argv: ["/usr/bin/node", "a"], execArgv: ["--eval=a\nb"] },
      { argv: ["/usr/bin/node", "a"], execArgv: ["-pe", "code"] },
      { argv: ["/usr/bin/bun", "a"], execArgv: ["--print", "code"] },
      { argv: ["/usr/bin/deno", "/srv/$deno$eval.mts"] },
      { argv: ["/usr/bin/deno", "/srv/$deno$stdin.mts", "a"] },
      { argv: ["/usr/bin/bun", "/srv/[eval]"] },
    ];
    for (const one of without) {
      assert.throws(
        () => ownCommandLine({ ...facts, cmdline: ["node", "x"], ...one }),
        {
          code: "ERR_SPAWN",
          message: /runs no script that could be started again; give `command`/,
        },
        JSON.stringify(one),
      );
    }
  });

  test("says what to do when flags cannot be told", () => {
    assert.throws(
      () => ownCommandLine({ ...facts, execArgv: [], execArgvComplete: false }),
      { code: "ERR_SPAWN", message: /Cannot tell the flags .* or give `command`/ },
    );
  });
});

describe("ownWorkingDirectory", () => {
  const probes = {
    identity: (path: string) => path.startsWith("/srv") ? "1:2" : path,
    problem: () => undefined,
  };

  test("is PWD when that is the same folder", () => {
    assert.equal(
      ownWorkingDirectory({ pwd: "/srv/current", cwd: "/srv/41" }, probes),
      "/srv/current",
    );
  });

  test("is what the kernel says when PWD is another folder, relative or missing", () => {
    for (const pwd of ["/tmp", "srv", "", undefined]) {
      assert.equal(ownWorkingDirectory({ pwd, cwd: "/srv/41" }, probes), "/srv/41");
    }
  });
});

test("collectFacts does not throw when nothing can be read", () => {
  const blind = { identity: () => undefined, problem: () => undefined };
  const found = collectFacts(() => {
    throw new Error("denied");
  }, blind);
  assert.equal(found.cmdline, undefined);
  assert.equal(found.program, process.execPath);
});

describe("a release behind a link", () => {
  const runtime = current();
  const root = realpathSync(mkdtempSync(join(tmpdir(), "changeover-release-")));
  after(() => rmSync(root, { recursive: true }));
  const fixture = new URL("../fixtures/command_report.ts", import.meta.url).href;
  for (const name of ["41", "42"]) {
    const folder = join(root, "releases", name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, "server.mjs"),
      `import { report } from ${JSON.stringify(fixture)};\nawait report("${name}");\n`,
    );
    writeFileSync(join(folder, "hook.mjs"), "globalThis.preloaded = true;\n");
  }
  const binaries = join(root, "bin");
  mkdirSync(binaries);
  symlinkSync(runtime.executable, join(binaries, "engine"));
  const link = join(root, "current");
  const preload = runtime.runtime === "node" ? "--import" : "--preload";
  const flags = [...(runtime.runtime === "bun" ? ["--smol"] : []), preload, "./hook.mjs"];
  const [executable = "", ...command] = runtime.command("server.mjs", ["a b", "", "x\ny"], flags);

  function point(release: string): void {
    symlinkSync(join("releases", release), `${link}.new`);
    renameSync(`${link}.new`, link);
  }

  interface Start {
    readonly file?: string;
    readonly args?: readonly string[];
    readonly argv0?: string;
    readonly cwd?: string;
    readonly env?: Readonly<Record<string, string>>;
    /** What happens before the next generation is started. */
    readonly deploy?: () => void;
  }
  interface Report {
    readonly release: string;
    readonly cwd: string;
    readonly pwd: string;
    readonly args: readonly string[];
    readonly execPath: string;
    readonly engine?: string;
    readonly preloaded: boolean;
    readonly command?: readonly string[];
    readonly error?: string;
    readonly code?: string;
  }

  /** Starts release 41, deploys, lets it start its successor, and resolves with what the two reported. */
  async function generations(start: Start = {}): Promise<[Report, Report]> {
    point("41");
    const cwd = start.cwd ?? link;
    const child = spawn(start.file ?? executable, [...start.args ?? command], {
      cwd,
      env: { ...process.env, PWD: cwd, DENO_NO_UPDATE_CHECK: "1", ...start.env },
      stdio: ["pipe", "pipe", "inherit"],
      ...(start.argv0 === undefined ? {} : { argv0: start.argv0 }),
    });
    const reports: Report[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      reports.push(JSON.parse(line) as Report);
      if (reports.length > 1) continue;
      (start.deploy ?? (() => point("42")))();
      child.stdin.end("\n");
    }
    const [first, second] = reports;
    assert.ok(first !== undefined && second !== undefined && reports.length === 2);
    return [first, second];
  }

  test("is followed to the new release, with flags and arguments as they were", async () => {
    const [first, second] = await generations();
    assert.deepEqual([first.release, second.release], ["41", "42"]);
    assert.equal(first.cwd, link);
    assert.deepEqual([second.cwd, second.pwd], [link, link]);
    assert.equal(second.preloaded, true);
    assert.deepEqual(second.args, ["a b", "", "x\ny"]);
    assert.deepEqual(second.command, first.command);
    assert.deepEqual(second.command, [executable, ...command]);
  });

  test("is followed when the script was given with the link in its path", async () => {
    const args = runtime.command(join(link, "server.mjs"), ["-x"]).slice(1);
    const [first, second] = await generations({ args, cwd: root });
    assert.deepEqual([first.release, second.release], ["41", "42"]);
    assert.deepEqual([second.cwd, second.args], [root, ["-x"]]);
  });

  test("is pinned when PWD does not tell of the link", async () => {
    const [first, second] = await generations({ env: { PWD: "/" } });
    assert.deepEqual([first.release, second.release], ["41", "41"]);
    assert.equal(second.cwd, join(root, "releases/41"));
  });

  test("is followed after the title was set, or the error says what to do", async () => {
    const [first, second] = await generations({ env: { TITLE: "my server" } });
    if (runtime.runtime === "deno") {
      assert.equal(first.code, "ERR_SPAWN");
      assert.match(first.error ?? "", /process\.title.*give `command`/);
      return;
    }
    assert.deepEqual([first.release, second.release], ["41", "42"]);
    assert.equal(second.preloaded, true);
    assert.deepEqual(second.args, ["a b", "", "x\ny"]);
  });

  test("gets the runtime that PATH leads to by then", async () => {
    const engine = join(binaries, "engine");
    const [first, second] = await generations({
      file: engine,
      argv0: "engine",
      env: { PATH: `${binaries}:${process.env["PATH"]}` },
      deploy: () => {
        point("42");
        // A script in its place stands for a new version of the runtime.
        const script = `#!/bin/sh\nENGINE=new exec ${JSON.stringify(executable)} "$@"\n`;
        writeFileSync(`${engine}.new`, script, { mode: 0o755 });
        renameSync(`${engine}.new`, engine);
      },
    });
    assert.equal(first.command?.[0], "engine");
    assert.deepEqual([first.engine, second.engine, second.release], [undefined, "new", "42"]);
  });

  test("is started with the same program when its name was made up", async () => {
    const [first, second] = await generations({ argv0: "bogus" });
    assert.equal(first.command?.[0], first.execPath);
    assert.deepEqual([second.release, second.execPath], ["42", first.execPath]);
  });

  test("that was deployed without its script is told before anything starts", async () => {
    const [, second] = await generations({
      deploy: () => {
        symlinkSync("bin", `${link}.new`);
        renameSync(`${link}.new`, link);
      },
    });
    assert.equal(second.code, "ERR_SPAWN");
    const script = JSON.stringify(join(link, "server.mjs"));
    const error = second.error ?? "";
    assert.ok(error.includes(`its script ${script} does not exist; deploy it first`), error);
  });

  test("that was deleted is told before anything starts", async () => {
    const [, second] = await generations({ deploy: () => rmSync(link) });
    assert.equal(second.code, "ERR_SPAWN");
    assert.match(second.error ?? "", /working directory .*current" does not exist; restore it/);
  });

  test("is found where bun --cwd began", { skip: runtime.runtime !== "bun" }, async () => {
    const args = ["--cwd=current", "server.mjs", "x"];
    const [first, second] = await generations({ args, cwd: root });
    assert.deepEqual([first.release, second.release], ["41", "42"]);
    assert.deepEqual([second.cwd, second.args], [root, ["x"]]);
  });
});
