import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  checkCommandOptions,
  type Logger,
  MAX_TIMER_MS,
  resolveOptions,
  type UpgraderOptions,
} from "../../src/options.ts";
import { fakeBackend } from "../../src/testing/mod.ts";

const wrongly = (options: unknown) => () => resolveOptions(options as UpgraderOptions);

function refuses(options: unknown, type: ErrorConstructor, ...parts: readonly string[]): void {
  assert.throws(wrongly(options), (error) => {
    assert.ok(error instanceof type, `${error}`);
    for (const part of ["Cannot ", ...parts]) {
      assert.ok(error.message.includes(part), `${JSON.stringify(part)} in ${error.message}`);
    }
    assert.doesNotMatch(error.message, /\.$/);
    return true;
  });
}

describe("resolveOptions", () => {
  test("has a default for everything", () => {
    const { logger, ...rest } = resolveOptions({});
    assert.deepEqual(rest, {
      mode: "parallel",
      upgradeTimeoutMs: 60_000,
      drainTimeoutMs: 30_000,
      drainSpreadMs: 800,
      webSocketSpreadMs: 800,
      idleGraceMs: 5_000,
      probationMs: 0,
      healthCheck: undefined,
      healthIntervalMs: 1_000,
      healthTimeoutMs: 5_000,
      maxDraining: 2,
      drainingPolicy: "refuse",
      systemd: true,
      pidFile: undefined,
      control: undefined,
      signals: { upgrade: ["SIGHUP"], stop: ["SIGTERM", "SIGINT"] },
      command: {},
      backend: undefined,
    });
    assert.deepEqual(Object.keys(logger).sort(), ["error", "info", "warn"]);
  });

  test("takes undefined for the default", () => {
    const known = Object.keys(resolveOptions({})).filter((key) => key !== "backend");
    const options = Object.fromEntries([...known, "env", "cwd"].map((key) => [key, undefined]));
    assert.deepEqual(
      { ...resolveOptions(options as UpgraderOptions), logger: null },
      { ...resolveOptions({}), logger: null },
    );
  });

  test("refuses a mode that is none", () => {
    assert.throws(() => resolveOptions({ mode: "serial" as never }), /"parallel" or "sequential"/);
  });

  test("keeps what it is told", () => {
    const { backend } = fakeBackend();
    const logger: Logger = { info() {}, warn() {}, error() {} };
    const command = () => ["node"];
    const healthCheck = () => {};
    const resolved = resolveOptions({
      mode: "sequential",
      upgradeTimeoutMs: 1,
      drainTimeoutMs: 0,
      drainSpreadMs: 0,
      webSocketSpreadMs: 7,
      idleGraceMs: 0,
      probationMs: MAX_TIMER_MS,
      healthCheck,
      healthIntervalMs: 1,
      healthTimeoutMs: 1,
      maxDraining: 1000,
      drainingPolicy: "cut-oldest",
      pidFile: "app.pid",
      control: "app.sock",
      signals: { upgrade: ["SIGUSR2", "SIGUSR2"], stop: "SIGTERM" },
      command,
      env: { A: "1", B: undefined },
      cwd: "/srv",
      logger,
      backend,
    });
    assert.deepEqual(resolved, {
      mode: "sequential",
      upgradeTimeoutMs: 1,
      drainTimeoutMs: 0,
      drainSpreadMs: 0,
      webSocketSpreadMs: 7,
      idleGraceMs: 0,
      probationMs: MAX_TIMER_MS,
      healthCheck,
      healthIntervalMs: 1,
      healthTimeoutMs: 1,
      maxDraining: 1000,
      drainingPolicy: "cut-oldest",
      systemd: true,
      pidFile: "app.pid",
      control: "app.sock",
      signals: { upgrade: ["SIGUSR2"], stop: ["SIGTERM"] },
      command: { command, env: { A: "1", B: undefined }, cwd: "/srv" },
      logger,
      backend,
    });
  });

  test("refuses what is no object", () => {
    for (const value of [null, "options", 5, true]) {
      refuses(value, TypeError, "options must be an object", String(value));
    }
  });

  test("refuses an option that it does not know, and names those it does", () => {
    refuses({ timeout: 1 }, TypeError, '"timeout" is not an option', "upgradeTimeoutMs", "cwd");
  });

  const numbers = [
    ["upgradeTimeoutMs", 1, MAX_TIMER_MS],
    ["healthIntervalMs", 1, MAX_TIMER_MS],
    ["healthTimeoutMs", 1, MAX_TIMER_MS],
    ["drainTimeoutMs", 0, MAX_TIMER_MS],
    ["drainSpreadMs", 0, MAX_TIMER_MS],
    ["idleGraceMs", 0, MAX_TIMER_MS],
    ["probationMs", 0, MAX_TIMER_MS],
    ["maxDraining", 0, 1000],
  ] as const;
  for (const [name, minimum, maximum] of numbers) {
    test(`takes ${name} from ${minimum} to ${maximum}, and refuses the rest with value and bounds`, () => {
      for (const good of [minimum, maximum]) {
        assert.equal(resolveOptions({ [name]: good })[name], good);
      }
      for (const bad of [minimum - 1, maximum + 1, 1.5, NaN, Infinity]) {
        refuses({ [name]: bad }, RangeError, name, String(bad), `${minimum} to ${maximum}`);
      }
      for (const bad of ["5", null, true, 5n]) {
        refuses({ [name]: bad }, TypeError, name, "is not a number");
      }
    });
  }

  test("refuses a control socket that is no path", () => {
    for (const bad of ["", "a\0b", "/run/", 5, null]) {
      refuses({ control: bad }, TypeError, "control", "the path of a socket");
    }
  });

  test("refuses a pidFile that is no path", () => {
    for (const bad of ["", 5, null, "a\0b"]) {
      refuses({ pidFile: bad }, TypeError, "pidFile", "the path of a file");
    }
  });

  test("takes false for no signals, and one list without the other", () => {
    assert.deepEqual(resolveOptions({ signals: false }).signals, { upgrade: [], stop: [] });
    assert.deepEqual(resolveOptions({ signals: { upgrade: [] } }).signals, {
      upgrade: [],
      stop: ["SIGTERM", "SIGINT"],
    });
    assert.deepEqual(resolveOptions({ signals: { stop: "SIGQUIT" } }).signals, {
      upgrade: ["SIGHUP"],
      stop: ["SIGQUIT"],
    });
  });

  test("refuses signals that are none, cannot be caught, or mean two things", () => {
    refuses({ signals: true }, TypeError, "signals", "true");
    refuses({ signals: null }, TypeError, "signals", "null");
    refuses({ signals: { reload: "SIGHUP" } }, TypeError, '"reload"', "upgrade, stop");
    for (const bad of ["HUP", "sighup", 1, [1], null, {}]) {
      refuses({ signals: { upgrade: bad } }, TypeError, "signals.upgrade", "SIGHUP");
    }
    for (const bad of ["SIGKILL", "SIGSTOP"]) {
      refuses({ signals: { stop: bad } }, RangeError, "signals.stop", bad, "cannot be caught");
    }
    refuses(
      { signals: { upgrade: "SIGTERM" } },
      RangeError,
      '"SIGTERM" cannot mean both upgrade and stop',
    );
  });

  test("refuses a command, env or cwd that is none", () => {
    for (const bad of [[], "node server.js", [1], {}, null]) {
      refuses({ command: bad }, TypeError, "command", "non-empty list");
    }
    for (const bad of ["A=1", null, 5]) refuses({ env: bad }, TypeError, "env", "record");
    for (const bad of ["", 5, null]) refuses({ cwd: bad }, TypeError, "cwd", "folder");
  });

  test("refuses a logger that cannot log, and takes false for silence", () => {
    for (const bad of [true, null, {}, { info() {}, warn() {} }]) {
      refuses({ logger: bad }, TypeError, "logger", "pass false for silence");
    }
    const { logger } = resolveOptions({ logger: false });
    for (const level of ["info", "warn", "error"] as const) logger[level]("nothing");
  });
});

test("checkCommandOptions keeps only what is given", () => {
  assert.deepEqual(checkCommandOptions({}), {});
  assert.deepEqual(checkCommandOptions({ cwd: "/srv" }), { cwd: "/srv" });
});
