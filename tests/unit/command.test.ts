import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import {
  childEnvironment,
  type FileProbes,
  fileProbes,
  type ProcessFacts,
  resolveCommand,
} from "../../src/command.ts";
import { findProgram } from "../../src/command_files.ts";
import { scriptOf } from "../../src/command_script.ts";

const facts: ProcessFacts = {
  cmdline: ["node", "server.js", "a b"],
  argv0: "node",
  program: "node",
  execArgv: [],
  execArgvComplete: true,
  argv: ["/usr/bin/node", "/srv/releases/41/server.js", "a b"],
  cwd: "/srv/current",
  realCwd: "/srv/releases/41",
};

/** A file system that has these, and nothing else. */
function having(...paths: string[]): FileProbes {
  return {
    identity: (path) => paths.includes(path) ? path : undefined,
    problem: (path) => paths.includes(path) ? undefined : "does not exist",
  };
}

const deployed = having("/srv/current", "/srv/current/server.js", "/usr/bin/node");
const environment = { PATH: "/usr/local/bin:/usr/bin", HOME: "/root" };

function spawnError(message: RegExp) {
  return { name: "UpgradeError", code: "ERR_SPAWN", message };
}

describe("resolveCommand", () => {
  test("starts this process's own command line in its own folder by default", async () => {
    assert.deepEqual(await resolveCommand({}, { facts, environment, probes: deployed }), {
      command: ["node", "server.js", "a b"],
      cwd: "/srv/current",
      env: { ...environment, PWD: "/srv/current" },
    });
  });

  test("takes the command, the folder and the environment that it was given", async () => {
    const probes = having("/srv/next", "/srv/next/run");
    const options = { command: ["./run", "", "l\nm"], cwd: "/srv/next", env: { PORT: "1" } };
    const resolved = await resolveCommand(options, { facts, environment, probes });
    assert.deepEqual(resolved.command, ["./run", "", "l\nm"]);
    assert.equal(resolved.cwd, "/srv/next");
    assert.deepEqual(resolved.env, { ...environment, PORT: "1", PWD: "/srv/next" });
  });

  test("asks functions at each upgrade", async () => {
    let asked = 0;
    const options = {
      command: () => Promise.resolve(["node", "server.js", String(++asked)]),
      env: () => Promise.resolve({ ASKED: String(asked) }),
    };
    const context = { facts, environment, probes: deployed };
    await resolveCommand(options, context);
    const second = await resolveCommand(options, context);
    assert.deepEqual(second.command, ["node", "server.js", "2"]);
    assert.equal(second.env["ASKED"], "1");
  });

  test("lets one upgrade replace command and folder, and add to the environment", async () => {
    const probes = having("/srv/current", "/srv/current/other", "/srv/current/other/run");
    const resolved = await resolveCommand(
      { command: ["lasting"], cwd: "/nowhere", env: { A: "1", B: "1" } },
      {
        facts,
        environment: {},
        probes,
        once: { command: ["./run"], cwd: "other", env: { B: "2" } },
      },
    );
    assert.deepEqual(resolved, {
      command: ["./run"],
      cwd: "/srv/current/other",
      env: { A: "1", B: "2", PWD: "/srv/current/other" },
    });
  });

  test("looks a bare name up on the child's PATH, not on its own", async () => {
    const probes = having("/srv/current", "/opt/bin/tool");
    const options = { command: ["tool"], env: { PATH: "/opt/bin" } };
    assert.deepEqual((await resolveCommand(options, { facts, environment, probes })).command, [
      "tool",
    ]);
    await assert.rejects(
      resolveCommand({ command: ["tool"] }, { facts, environment, probes }),
      spawnError(/"tool" is in no folder of PATH \("\/usr\/local\/bin:\/usr\/bin"\); install it/),
    );
  });

  test("names the script that was not deployed", async () => {
    const probes = having("/srv/current", "/usr/bin/node");
    await assert.rejects(
      resolveCommand({}, { facts, environment, probes }),
      spawnError(/its script "\/srv\/current\/server\.js" does not exist; deploy it first/),
    );
  });

  test("names the working directory that was deleted", async () => {
    await assert.rejects(
      resolveCommand({}, { facts, environment, probes: having() }),
      spawnError(/working directory "\/srv\/current" does not exist; restore it, or give `cwd`/),
    );
  });

  test("names the program that is not there", async () => {
    await assert.rejects(
      resolveCommand({ command: ["bin/run"] }, { facts, environment, probes: deployed }),
      spawnError(/program "\/srv\/current\/bin\/run" does not exist; install it/),
    );
  });

  test("tells what a user's function threw", async () => {
    const cause = new Error("vault is sealed");
    const fail = () => {
      throw cause;
    };
    for (const options of [{ command: fail }, { env: fail }]) {
      await assert.rejects(
        resolveCommand(options, { facts, environment, probes: deployed }),
        (error: Error) => {
          assert.match(error.message, /^Cannot start .* failed with "vault is sealed"/);
          assert.equal(error.cause, cause);
          return true;
        },
      );
    }
  });

  test("refuses what is no command", async () => {
    const wrong = [[], [""], ["a\0b"], [1], "node server.js", { exec: "node" }, () => undefined];
    for (const command of wrong) {
      await assert.rejects(
        resolveCommand({ command: command as string[] }, { facts, environment, probes: deployed }),
        spawnError(/`command` is no list of program and arguments; give one such as \["node"/),
        String(command),
      );
    }
  });

  test("refuses what is no folder", async () => {
    for (const cwd of ["", "a\0b", 1]) {
      await assert.rejects(
        resolveCommand({ cwd: cwd as string }, { facts, environment, probes: deployed }),
        spawnError(/`cwd` is no path/),
      );
    }
  });
});

describe("childEnvironment", () => {
  test("keeps what was addressed to this process from the child", () => {
    const personal = {
      CHANGEOVER: "{}",
      LISTEN_PID: "1",
      LISTEN_PIDFDID: "2",
      LISTEN_FDS: "1",
      LISTEN_FDNAMES: "web",
      WATCHDOG_PID: "1",
    };
    const current = { ...personal, WATCHDOG_USEC: "1000000", NOTIFY_SOCKET: "@x" };
    assert.deepEqual(childEnvironment(current, { overlays: [personal], cwd: "/srv" }), {
      WATCHDOG_USEC: "1000000",
      NOTIFY_SOCKET: "@x",
      PWD: "/srv",
    });
  });

  test("merges overlays in order, and undefined takes a variable away", () => {
    const env = childEnvironment({ A: "0", B: "0", C: "0", PWD: "/old" }, {
      overlays: [{ A: "1", B: "1" }, { B: undefined, D: "" }],
      cwd: "/new",
    });
    assert.deepEqual(env, { A: "1", C: "0", D: "", PWD: "/new" });
  });

  test("leaves the current environment as it is", () => {
    const current = Object.freeze({ CHANGEOVER: "{}", A: "1" });
    childEnvironment(current, { overlays: [{ A: "2" }], cwd: "/" });
    assert.deepEqual(current, { CHANGEOVER: "{}", A: "1" });
  });

  test("refuses what no environment can hold, and does not show the value", () => {
    const wrong: [unknown, RegExp][] = [
      [{ "A=B": "1" }, /"A=B" in `env` is no name/],
      [{ "": "1" }, /"" in `env` is no name/],
      [{ A: "secret\0" }, /the value of "A" in `env` is no text without NUL/],
      [{ A: 8080 }, /the value of "A" .* give a string/],
      [["A=1"], /`env` is no record/],
      [null, /`env` is no record/],
      ["A=1", /`env` is no record/],
    ];
    for (const [overlay, message] of wrong) {
      assert.throws(
        () => childEnvironment({}, { overlays: [overlay as Record<string, string>], cwd: "/" }),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, "ERR_SPAWN");
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /secret/);
          return true;
        },
      );
    }
  });
});

describe("scriptOf", () => {
  test("finds the script behind flags", () => {
    const lines: [string, string][] = [
      ["node server.js", "server.js"],
      [
        "/opt/node22/bin/node --import ./hook.js -r x.js --enable-source-maps app.mjs --a b.js",
        "app.mjs",
      ],
      ["node22 --max-old-space-size=512 ./dist/app.cjs", "./dist/app.cjs"],
      ["node -- app.ts", "app.ts"],
      ["deno run -A --allow-net=127.0.0.1 -c deno.json server.ts x.ts", "server.ts"],
      ["deno server.ts", "server.ts"],
      ["deno serve --port 80 --no-prompt main.tsx", "main.tsx"],
      ["bun server.ts", "server.ts"],
      ["/app/node_modules/bun/bin/bun.exe --smol run --preload ./hook.ts server.ts", "server.ts"],
    ];
    for (const [line, script] of lines) assert.equal(scriptOf(line.split(" ")), script, line);
  });

  test("finds nothing rather than something wrong", () => {
    const lines = [
      "node",
      "node --unknown value.js server.js",
      "node -e code.js",
      "node .",
      "node server",
      "deno run npm:server.js",
      "deno run https://example.com/server.ts",
      "deno run file:///srv/server.ts",
      "deno task start",
      "bun run start",
      "bun --cwd=app server.ts",
      "./server.js",
      "./app server.js",
      "python3 server.js",
      "npm start",
      "",
    ];
    for (const line of lines) assert.equal(scriptOf(line.split(" ")), undefined, line);
  });
});

describe("the file system", () => {
  const folder = mkdtempSync(join(tmpdir(), "changeover-command-"));
  after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "first"));
  mkdirSync(join(folder, "second/tool"), { recursive: true });
  mkdirSync(join(folder, "third"));
  writeFileSync(join(folder, "first/tool"), "", { mode: 0o644 });
  writeFileSync(join(folder, "third/tool"), "#!/bin/sh\n");
  chmodSync(join(folder, "third/tool"), 0o755);
  symlinkSync("third", join(folder, "link"));
  symlinkSync("loop", join(folder, "loop"));
  const find = (name: string, path?: string) =>
    findProgram(name, { path, cwd: folder, probes: fileProbes });

  test("has a program only where a file may be executed", () => {
    assert.equal(find("tool", "first:second:link:third"), join(folder, "link/tool"));
    assert.equal(find("tool", "first:second"), undefined);
  });

  test("has the working directory for an empty entry in PATH", () => {
    writeFileSync(join(folder, "here"), "#!/bin/sh\n", { mode: 0o755 });
    assert.equal(find("here", "first:"), join(folder, "here"));
  });

  test("has sh without a PATH", () => {
    assert.match(find("sh") ?? "", /^\/(?:usr\/)?bin\/sh$/);
  });

  test("does not look for a path with a slash on PATH", () => {
    assert.equal(find("./third/tool", ""), join(folder, "third/tool"));
    assert.equal(find("nested/tool", folder), undefined);
    assert.equal(find(""), undefined);
  });

  test("leaves the folder that a link leads to, not the link, at two dots", () => {
    mkdirSync(join(folder, "deep/inner"), { recursive: true });
    writeFileSync(join(folder, "deep/run"), "#!/bin/sh\n", { mode: 0o755 });
    symlinkSync("deep/inner", join(folder, "inner"));
    assert.equal(find("inner/../run"), `${folder}/inner/../run`);
    assert.equal(find("inner/../here"), undefined);
  });

  test("says in words what is wrong with a path", () => {
    const problem = (path: string, use: "program" | "script" | "folder") =>
      fileProbes.problem(join(folder, path), use);
    assert.equal(problem("none", "script"), "does not exist");
    assert.equal(problem("first/tool/none", "script"), "does not exist");
    assert.equal(problem("first/tool", "program"), "may not be executed by this user");
    assert.equal(problem("first/tool", "folder"), "is not a folder");
    assert.equal(problem("first", "program"), "is a folder");
    assert.equal(problem("loop", "script"), "is a loop of symbolic links");
    assert.equal(problem("link", "folder"), undefined);
    assert.equal(problem("link/tool", "program"), undefined);
  });

  test("recognises a folder behind a link", () => {
    const identity = (path: string) => fileProbes.identity(join(folder, path));
    assert.equal(identity("link"), identity("third"));
    assert.notEqual(identity("link"), identity("first"));
    assert.equal(identity("none"), undefined);
  });
});
