// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { nearest, parseArguments } from "../../src/cli/arguments.ts";
import type { Command } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/commands.ts";
import { durationOf, spellDuration } from "../../src/cli/duration.ts";
import { CommandError, EXIT_CODES } from "../../src/cli/exit_codes.ts";
import { commandHelp, programHelp } from "../../src/cli/help.ts";
import { run } from "../../src/cli/program.ts";
import { Progress } from "../../src/cli/progress.ts";
import { spell, targetOf } from "../../src/cli/target.ts";
import { printable, styleOf } from "../../src/cli/text.ts";
import { bounded, pause } from "../../src/cli/waiting.ts";
import { recorded } from "../support/cli.ts";

const greet: Command = {
  name: "greet",
  summary: "says hello",
  usage: "[options]",
  about: ["Says hello."],
  options: [
    { name: "name", short: "n", value: "NAME", help: ["whom"] },
    { name: "env", value: "NAME=VALUE", repeats: true, help: ["more"] },
    { name: "json", help: ["as JSON"] },
  ],
  examples: [["changeover greet --name you", "be polite"]],
  load: () =>
    Promise.resolve({
      execute: (args, { out }) => {
        if (args.get("name") === "nobody") throw new CommandError(3, "there is nobody");
        if (args.get("name") === "bug") throw new TypeError("x is undefined");
        out.write(`hello ${args.get("name")} ${args.all("env").join()} ${args.rest.join()}\n`);
        return Promise.resolve(0);
      },
    }),
};

const wrap: Command = { ...greet, name: "wrap", takesCommand: true };

async function say(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const context = recorded();
  const code = await run(words, context, [greet, wrap]);
  return { code, ...context.said };
}

test("a command gets its options in every spelling", async () => {
  for (const words of [["--name", "you"], ["--name=you"], ["-n", "you"]]) {
    assert.equal(
      (await say("greet", ...words, "--env", "a=1", "--env=b=2")).out,
      "hello you a=1,b=2 \n",
    );
  }
});

test("somebody else's command line follows after -- or begins with its first word, and is left alone", async () => {
  const words = ["node", "--name", "x", "--help", "--", "y"];
  const out = `hello me  ${words.join()}\n`;
  assert.equal((await say("wrap", "--name", "me", "--", ...words)).out, out);
  assert.equal((await say("wrap", "--name", "me", ...words)).out, out);
});

test("a wrong command line ends with 2, says what is wrong and where to read more", async () => {
  const wrong: [string[], RegExp][] = [
    [["gret"], /no command "gret"; did you mean "greet"\?/],
    [["--nonsense"], /no option "--nonsense"/],
    [["greet", "--nam", "x"], /no option --nam; did you mean --name\?/],
    [["greet", "-x"], /no option -x\n/],
    [["greet", "--name"], /--name needs a value: --name NAME/],
    [["greet", "--name="], /--name needs a value/],
    [["greet", "--name", "--json"], /--name needs a value/],
    [["greet", "--json=yes"], /--json takes no value/],
    [["greet", "--name", "a", "--name", "b"], /--name can be given only once/],
    [["greet", "you"], /unexpected argument "you"/],
    [["greet", "--", "you"], /unexpected argument "you"/],
  ];
  for (const [words, message] of wrong) {
    const { code, out, err } = await say(...words);
    assert.deepEqual([code, out], [2, ""], words.join(" "));
    assert.match(err, message);
    assert.match(err, /\nTry: changeover (greet )?--help\n$/);
  }
  const nothing = await say();
  assert.equal(nothing.code, 2);
  assert.match(nothing.err, /^changeover: .*\n\nUsage: /);
});

test("a command that cannot do it ends with its code, in words and for --json as JSON", async () => {
  const { code, out, err } = await say("greet", "--name", "nobody", "--json");
  assert.deepEqual([code, err], [3, "changeover: there is nobody\n"]);
  assert.deepEqual(JSON.parse(out), {
    ok: false,
    error: { name: "CommandError", message: "there is nobody" },
    exitCode: 3,
  });
});

test("a mistake of the program is no exit code that means something else", async () => {
  const { code, err } = await say("greet", "--name", "bug");
  assert.equal(code, 70);
  assert.match(err, /TypeError: x is undefined/);
});

test("help is found wherever it is asked for, goes before errors, and is no error", async () => {
  for (const words of [["help"], ["--help"], ["-h"]]) {
    assert.deepEqual(await say(...words), { code: 0, out: programHelp([greet, wrap]), err: "" });
  }
  const asked = [
    ["help", "greet"],
    ["--help", "greet"],
    ["greet", "--help"],
    ["greet", "--nonsense", "-h"],
    ["greet", "--name", "x", "--help"],
  ];
  for (const words of asked) {
    assert.deepEqual(await say(...words), { code: 0, out: commandHelp(greet), err: "" });
  }
  assert.match((await say("help", "nonsense")).err, /no command "nonsense"/);
});

test("help tells every option, example and exit code of every command within 100 columns", () => {
  for (const command of COMMANDS) {
    const text = commandHelp(command);
    for (const { name } of command.options) assert.ok(text.includes(`--${name}`), name);
    for (const [commandLine] of command.examples) assert.ok(text.includes(commandLine));
    for (const code of [0, 2, 3, 4]) {
      if (command.name !== "run") assert.match(text, new RegExp(`^  ${code}  `, "m"));
    }
    assert.ok(programHelp(COMMANDS).includes(command.summary));
    const long = text.split("\n").filter((line) => line.length > 100);
    assert.deepEqual(long, []);
  }
});

test("docs/cli.md has every command, option and exit code; a long command may have a page of its own", () => {
  const cli = readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8");
  for (const command of COMMANDS) {
    const page = new URL(`../../docs/${command.name}.md`, import.meta.url);
    const docs = cli + (existsSync(page) ? readFileSync(page, "utf8") : "");
    const start = docs.indexOf(`## changeover ${command.name}`);
    assert.notEqual(start, -1, command.name);
    for (const { name } of command.options) {
      const shared = ["control", "pid-file", "pid"].includes(name);
      assert.ok(docs.indexOf(`\`--${name}`, shared ? 0 : start) > 0, `${command.name} --${name}`);
    }
  }
  for (const [code] of EXIT_CODES) assert.match(cli, new RegExp(`^\\| ${code} \\|`, "m"));
});

test("every command can be loaded", async () => {
  for (const { name, load } of COMMANDS) {
    assert.equal(typeof (await load()).execute, "function", name);
  }
});

test("the nearest name is one that begins so or differs little", () => {
  const names = ["upgrade", "status", "stop"];
  assert.equal(nearest("upgarde", names), "upgrade");
  assert.equal(nearest("stat", names), "status");
  assert.equal(nearest("stpo", names), "stop");
  assert.equal(nearest("x", names), undefined);
  assert.equal(nearest("reload", names), undefined);
});

const target = (...words: string[]) => {
  const [upgrade] = COMMANDS;
  return targetOf(parseArguments(words, upgrade as Command));
};

test("a service is named in exactly one way", () => {
  assert.deepEqual(target("--control", "run/app.sock"), { kind: "control", path: "run/app.sock" });
  assert.deepEqual(target("--pid-file", "/run/app.pid"), {
    kind: "pid-file",
    path: "/run/app.pid",
  });
  assert.deepEqual(target("--pid", "4711"), { kind: "pid", pid: 4711 });
  assert.equal(
    spell(target("--control", "/run/my app's.sock")),
    "--control '/run/my app'\\''s.sock'",
  );
  assert.throws(() => target(), /which service\?/);
  assert.throws(() => target("--pid", "4711", "--control", "/x"), /cannot be given together/);
  assert.throws(
    () => target("--control", `/${"x".repeat(107)}`),
    /at most 107 bytes, this one has 108/,
  );
});

test("--pid is a process id and never one that means a group, everybody or the first process", () => {
  for (const wrong of ["0", "1", "-1", "+5", "4711x", "1e3", "0x10", "2147483648", " 5"]) {
    assert.throws(() => target(`--pid=${wrong}`), /--pid/, wrong);
  }
});

test("times are read with their units, and bad ones refused", () => {
  const read = (text: string) =>
    durationOf(parseArguments([`--timeout=${text}`], COMMANDS[0] as Command), "timeout", 7);
  assert.deepEqual(
    ["250ms", "2", "1.5s", "2m", "1h"].map(read),
    [250, 2000, 1500, 120_000, 3_600_000],
  );
  for (const wrong of ["0", "-1", "abc", "5d", "1e9", "999h", "Infinity"]) {
    assert.throws(() => read(wrong), /must be a time such as/, wrong);
  }
  assert.deepEqual(
    [0, 412.4, 1234, 59_949, 61_000, 3_700_000, 100_000_000].map(spellDuration),
    ["0 ms", "412 ms", "1.2 s", "59.9 s", "1 min 1 s", "1 h 1 min", "1 d 3 h"],
  );
});

test("what another process said cannot steer the terminal", () => {
  assert.equal(printable("a\x1b[31mred\x1b[0m\x1b]0;title\x07b\r\nc\x9bd\x00\te"), "aredb\ncd\te");
});

test("colours only for people who want them", () => {
  const coloured = (terminal: boolean, env: Record<string, string> = {}) => {
    const context = recorded({ terminal, env });
    return styleOf(context.out, context).bad("x") !== "x";
  };
  assert.deepEqual(
    [
      coloured(true),
      coloured(false),
      coloured(true, { NO_COLOR: "1" }),
      coloured(true, { NO_COLOR: "" }),
      coloured(true, { TERM: "dumb" }),
    ],
    [true, false, false, true, false],
  );
});

test("progress is a line for each step, and on a terminal one that changes and fits", () => {
  const plain = recorded();
  const lines = new Progress(plain, { quiet: false });
  for (const step of ["first", "second"]) lines.step(step);
  lines.end();
  assert.match(plain.said.err, /^ +\d+ ms {2}first\n +\d+ ms {2}second\n$/);

  const terminal = recorded({ terminal: true, env: { NO_COLOR: "1" } });
  const live = new Progress(terminal, { quiet: false });
  for (const step of ["first", "second".repeat(20)]) live.step(step);
  live.end();
  live.end();
  const drawn = terminal.said.err.split("\r\x1b[K");
  assert.match(drawn[2] ?? "", /^ {2}first \d+ ms\n$/);
  assert.deepEqual(drawn.filter((line) => line.trimEnd().length > 40), []);
  assert.ok(terminal.said.err.endsWith("\n"));

  const quiet = recorded();
  new Progress(quiet, { quiet: true }).step("first");
  assert.equal(quiet.said.err, "");
});

test("a wait ends in time or when somebody interrupts it, says so, and leaves no handler behind", async () => {
  const wait = (signal: AbortSignal) => pause(60_000, signal).then(() => pause(60_000, signal));
  const context = recorded();
  const bounds = { late: () => "too late", interrupted: () => "not decided" };
  await assert.rejects(
    bounded(context, { ...bounds, timeoutMs: 20 }, wait),
    (error: CommandError) => error.exitCode === 4 && error.message === "too late",
  );
  const interrupted = bounded(context, { ...bounds, timeoutMs: 60_000 }, wait);
  assert.ok(context.raise("SIGINT"));
  await assert.rejects(
    interrupted,
    (error: CommandError) => error.exitCode === 130 && error.message === "not decided",
  );
  assert.equal(
    await bounded(context, { ...bounds, timeoutMs: 60_000 }, () => Promise.resolve(5)),
    5,
  );
  await assert.rejects(
    bounded(context, { ...bounds, timeoutMs: 60_000 }, () => Promise.reject(new Error("no"))),
    /no/,
  );
  for (const name of ["SIGINT", "SIGTERM"]) assert.equal(context.raise(name), false);
});
