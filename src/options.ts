/**
 * What users may set, the defaults, and the check at the door.
 *
 * @module
 */

import type { Backend } from "./backend/backend.ts";
import type { HealthCheck } from "./watch.ts";

/** Where an outcome is told that nobody else would be told of. */
export interface Logger {
  /** Something went as asked. */
  info(message: string): void;
  /** Something an operator should look at. */
  warn(message: string): void;
  /** Something that was asked for did not happen. */
  error(message: string): void;
}

/** Which signals mean what. */
export interface SignalOptions {
  /** Starts an upgrade. @default {"SIGHUP"} */
  readonly upgrade?: string | readonly string[];
  /** Stops the process gracefully; a second one cuts what is still open. @default {["SIGTERM", "SIGINT"]} */
  readonly stop?: string | readonly string[];
}

/** What the next generation is started with; given to `create`, or once to `upgrade`. */
export interface CommandOptions {
  /**
   * Executable and arguments, or a function that returns them; asked again at each upgrade.
   *
   * @default {the command line of this process, un-realpathed}
   */
  readonly command?: readonly string[] | (() => readonly string[] | Promise<readonly string[]>);
  /**
   * File of environment variables, or several, read again at each upgrade and merged over the current environment before
   * `env`; what was taken out of it is removed. Below `cwd` unless absolute, so that a symlinked release is followed.
   *
   * @default {none}
   */
  readonly envFile?: string | readonly string[];
  /** Merged over the current environment. */
  readonly env?: EnvOverlay | (() => EnvOverlay | Promise<EnvOverlay>);
  /**
   * Working directory of the child.
   *
   * @default {$PWD if it still is the working directory, so that a symlinked release folder is followed}
   */
  readonly cwd?: string;
}

/**
 * How the old process and the new one follow each other.
 *
 * - `"parallel"`: the new one starts and initialises while the old one serves
 * - `"sequential"`: the old one pauses accepting, finishes its connections and releases what only one process may hold;
 *   then the new one starts. Clients wait in the kernel's queue meanwhile
 */
export type UpgradeMode = "parallel" | "sequential";

/** Options of `upgrade`. */
export interface UpgradeOptions extends CommandOptions {
  /** See {@linkcode UpgradeMode}. @default {the option of `create`} */
  readonly mode?: UpgradeMode;
}

/** Environment variables to set; `undefined` removes one. */
export type EnvOverlay = Readonly<Record<string, string | undefined>>;

/** Options of `Upgrader.create`. */
export interface UpgraderOptions extends CommandOptions {
  /** See {@linkcode UpgradeMode}. @default {"parallel"} */
  readonly mode?: UpgradeMode;
  /** How long a child may take until it has taken over, in milliseconds. @default {60000} */
  readonly upgradeTimeoutMs?: number;
  /** How long open connections may take to finish, in milliseconds; what is left then is cut. @default {30000} */
  readonly drainTimeoutMs?: number;
  /**
   * Over how many milliseconds the clients are told to reconnect, so that they come in a stream and not in a burst.
   *
   * @default {800}
   */
  readonly drainSpreadMs?: number;
  /**
   * Over how many milliseconds WebSockets get their turn: each is closed behind the next message of the server, with code
   * 1012 ("service restart"), or when nothing is said for a second, at the latest two seconds after its turn.
   *
   * @default {drainSpreadMs}
   */
  readonly webSocketSpreadMs?: number;
  /** How long an idle keep-alive connection may stay once draining began, in milliseconds. @default {5000} */
  readonly idleGraceMs?: number;
  /** File that holds the process id of the owner, written atomically; its folder must exist. @default {none} */
  readonly pidFile?: string;
  /**
   * Path of a Unix socket (mode 0600) on which the owner answers `status`, `upgrade`, `stop`, `events` and `metrics`; its
   * folder must exist, and only this user should be able to write to it.
   *
   * @default {none}
   */
  readonly control?: string;
  /** Signal handlers, or `false` for none. @default {{ upgrade: "SIGHUP", stop: ["SIGTERM", "SIGINT"] }} */
  readonly signals?: SignalOptions | false;
  /** How long the parent watches a ready child before it commits, in milliseconds. @default {0} */
  readonly probationMs?: number;
  /**
   * Asked at intervals during the probation; when it rejects, the child is rolled back with `ERR_ROLLED_BACK`. Needs
   * `probationMs`.
   *
   * @default {none}
   */
  readonly healthCheck?: HealthCheck;
  /** From the end of one health check to the next, in milliseconds. @default {1000} */
  readonly healthIntervalMs?: number;
  /** How long one health check may take, in milliseconds. @default {5000} */
  readonly healthTimeoutMs?: number;
  /** How many older generations may be draining when an upgrade starts. @default {2} */
  readonly maxDraining?: number;
  /**
   * What happens to an upgrade when more than `maxDraining` generations are draining: it is refused with
   * `ERR_TOO_MANY_GENERATIONS`, or the oldest cut their connections.
   *
   * @default {"refuse"}
   */
  readonly drainingPolicy?: "refuse" | "cut-oldest";
  /**
   * Whether sockets are taken from a service manager (`LISTEN_FDS`) and it is told what goes on (`NOTIFY_SOCKET`), where
   * the environment says so. `false` leaves both to the application.
   *
   * @default {true}
   */
  readonly systemd?: boolean;
  /** Who is told outcomes that a signal asked for; `false` for silence. @default {one line on stderr per outcome} */
  readonly logger?: Logger | false;
  /** The runtime's backend; for tests. */
  readonly backend?: Backend;
}

/** Options with every default filled in. */
export interface ResolvedOptions {
  readonly mode: UpgradeMode;
  readonly upgradeTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly drainSpreadMs: number;
  readonly webSocketSpreadMs: number;
  readonly idleGraceMs: number;
  readonly probationMs: number;
  readonly healthCheck: HealthCheck | undefined;
  readonly healthIntervalMs: number;
  readonly healthTimeoutMs: number;
  readonly maxDraining: number;
  readonly drainingPolicy: "refuse" | "cut-oldest";
  readonly pidFile: string | undefined;
  readonly systemd: boolean;
  readonly control: string | undefined;
  readonly signals: { readonly upgrade: readonly string[]; readonly stop: readonly string[] };
  readonly command: CommandOptions;
  readonly logger: Logger;
  readonly backend: Backend | undefined;
}

/** The longest time that every runtime's timers can wait: 2^31 - 1 milliseconds, some 24 days. */
export const MAX_TIMER_MS = 2_147_483_647;

const KNOWN: readonly string[] = [
  "mode",
  "upgradeTimeoutMs",
  "drainTimeoutMs",
  "drainSpreadMs",
  "webSocketSpreadMs",
  "idleGraceMs",
  "pidFile",
  "control",
  "signals",
  "probationMs",
  "healthCheck",
  "healthIntervalMs",
  "healthTimeoutMs",
  "maxDraining",
  "drainingPolicy",
  "systemd",
  "logger",
  "backend",
  "command",
  "env",
  "envFile",
  "cwd",
];

const silent: Logger = { info() {}, warn() {}, error() {} };

// One line per outcome on stderr: console.error writes there on all three runtimes.
const stderr: Logger = {
  info: (message) => console.error(`changeover: ${message}`),
  warn: (message) => console.error(`changeover: warning: ${message}`),
  error: (message) => console.error(`changeover: error: ${message}`),
};

function show(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** Checks that a value is an object and has no key that is not known. */
export function checkKeys(value: object, known: readonly string[], what: string): void {
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) {
      throw new TypeError(
        `Cannot use ${what}: "${key}" is not an option; known are ${known.join(", ")}`,
      );
    }
  }
}

/**
 * Reads a duration or a count.
 *
 * @throws {TypeError} when it is not a number.
 * @throws {RangeError} when it is out of bounds.
 */
export function checkInteger(
  name: string,
  value: unknown,
  fallback: number,
  minimum: number,
  maximum: number,
): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number") {
    throw new TypeError(`Cannot use ${name}: ${show(value)} is not a number`);
  }
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw new RangeError(
      `Cannot use ${name}: ${value} is not an integer from ${minimum} to ${maximum}`,
    );
  }
  return value;
}

function checkSignals(
  name: string,
  value: unknown,
  fallback: readonly string[],
): readonly string[] {
  if (value === undefined) return fallback;
  const list: unknown = typeof value === "string" ? [value] : value;
  if (
    !Array.isArray(list) ||
    !list.every((entry) => typeof entry === "string" && /^SIG[A-Z0-9]+$/.test(entry))
  ) {
    throw new TypeError(
      `Cannot use ${name}: expected the name of a signal such as "SIGHUP", or a list of them, got ${
        show(value)
      }`,
    );
  }
  for (const entry of list as string[]) {
    if (entry === "SIGKILL" || entry === "SIGSTOP") {
      throw new RangeError(`Cannot use ${name}: "${entry}" cannot be caught (signal(7))`);
    }
  }
  return [...new Set(list as string[])];
}

function resolveSignals(value: UpgraderOptions["signals"]): ResolvedOptions["signals"] {
  if (value === false) return { upgrade: [], stop: [] };
  if (value !== undefined && (typeof value !== "object" || value === null)) {
    throw new TypeError(`Cannot use signals: expected an object or false, got ${show(value)}`);
  }
  if (value !== undefined) checkKeys(value, ["upgrade", "stop"], "signals");
  const upgrade = checkSignals("signals.upgrade", value?.upgrade, ["SIGHUP"]);
  const stop = checkSignals("signals.stop", value?.stop, ["SIGTERM", "SIGINT"]);
  const both = upgrade.find((signal) => stop.includes(signal));
  if (both !== undefined) {
    throw new RangeError(`Cannot use signals: "${both}" cannot mean both upgrade and stop`);
  }
  return { upgrade, stop };
}

function resolveLogger(value: UpgraderOptions["logger"]): Logger {
  if (value === undefined) return stderr;
  if (value === false) return silent;
  for (const method of ["info", "warn", "error"] as const) {
    if (typeof value !== "object" || value === null || typeof value[method] !== "function") {
      throw new TypeError(
        `Cannot use logger: it has no method ${method}(message); pass false for silence`,
      );
    }
  }
  return value;
}

function resolveHealthCheck(
  { healthCheck, probationMs }: UpgraderOptions,
): HealthCheck | undefined {
  if (healthCheck === undefined) return undefined;
  if (typeof healthCheck !== "function") {
    throw new TypeError(`Cannot use healthCheck: ${show(healthCheck)} is not a function`);
  }
  if (probationMs === undefined || probationMs === 0) {
    throw new RangeError("Cannot use healthCheck: it needs probationMs, which is 0");
  }
  return healthCheck;
}

function resolvePolicy(value: unknown): ResolvedOptions["drainingPolicy"] {
  if (value === undefined) return "refuse";
  if (value === "refuse" || value === "cut-oldest") return value;
  throw new TypeError(
    `Cannot use drainingPolicy: expected "refuse" or "cut-oldest", got ${show(value)}`,
  );
}

/** Checks how generations follow each other. @throws {TypeError} */
export function checkMode(value: unknown, fallback: UpgradeMode): UpgradeMode {
  if (value === undefined) return fallback;
  if (value === "parallel" || value === "sequential") return value;
  throw new TypeError(`Cannot use mode: expected "parallel" or "sequential", got ${show(value)}`);
}

/** Checks what `create` and `upgrade` share; what it says is looked at when an upgrade starts. */
export function checkCommandOptions(options: CommandOptions): CommandOptions {
  const { command, env, envFile, cwd } = options;
  if (
    command !== undefined && typeof command !== "function" &&
    !(Array.isArray(command) && command.length > 0 &&
      command.every((part) => typeof part === "string"))
  ) {
    throw new TypeError(
      `Cannot use command: expected a non-empty list of strings or a function that returns one, got ${
        show(command)
      }`,
    );
  }
  if (env !== undefined && typeof env !== "function" && (typeof env !== "object" || env === null)) {
    throw new TypeError(`Cannot use env: expected a record or a function, got ${show(env)}`);
  }
  if (cwd !== undefined && (typeof cwd !== "string" || cwd === "")) {
    throw new TypeError(`Cannot use cwd: expected the path of a folder, got ${show(cwd)}`);
  }
  const files = typeof envFile === "string" ? [envFile] : envFile;
  const isPath = (path: unknown) => typeof path === "string" && path !== "" && !path.includes("\0");
  if (files !== undefined && !(Array.isArray(files) && files.every(isPath))) {
    throw new TypeError(
      `Cannot use envFile: expected the path of a file or a list of them, got ${show(envFile)}`,
    );
  }
  return {
    ...(command === undefined ? {} : { command }),
    ...(env === undefined ? {} : { env }),
    ...(envFile === undefined ? {} : { envFile }),
    ...(cwd === undefined ? {} : { cwd }),
  };
}

/**
 * Fills in the defaults.
 *
 * @param options As the user wrote them.
 * @returns All of them.
 * @throws {TypeError} for an unknown option or one of the wrong type.
 * @throws {RangeError} for a number out of bounds.
 */
export function resolveOptions(options: UpgraderOptions): ResolvedOptions {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(
      `Cannot create an upgrader: options must be an object, got ${show(options)}`,
    );
  }
  checkKeys(options, KNOWN, "the options");
  const { pidFile, systemd = true } = options;
  if (typeof systemd !== "boolean") {
    throw new TypeError(`Cannot use systemd: expected true or false, got ${show(systemd)}`);
  }
  if (
    pidFile !== undefined &&
    (typeof pidFile !== "string" || pidFile === "" || pidFile.includes("\0"))
  ) {
    throw new TypeError(`Cannot use pidFile: expected the path of a file, got ${show(pidFile)}`);
  }
  const { control } = options;
  if (
    control !== undefined &&
    (typeof control !== "string" || control === "" || control.includes("\0") ||
      control.endsWith("/"))
  ) {
    throw new TypeError(
      `Cannot use control: expected the path of a socket such as "/run/app/control.sock", got ${
        show(control)
      }`,
    );
  }
  const drainSpreadMs = checkInteger(
    "drainSpreadMs",
    options.drainSpreadMs,
    800,
    0,
    MAX_TIMER_MS,
  );
  return {
    mode: checkMode(options.mode, "parallel"),
    upgradeTimeoutMs: checkInteger(
      "upgradeTimeoutMs",
      options.upgradeTimeoutMs,
      60_000,
      1,
      MAX_TIMER_MS,
    ),
    drainTimeoutMs: checkInteger("drainTimeoutMs", options.drainTimeoutMs, 30_000, 0, MAX_TIMER_MS),
    drainSpreadMs,
    webSocketSpreadMs: checkInteger(
      "webSocketSpreadMs",
      options.webSocketSpreadMs,
      drainSpreadMs,
      0,
      MAX_TIMER_MS,
    ),
    idleGraceMs: checkInteger("idleGraceMs", options.idleGraceMs, 5_000, 0, MAX_TIMER_MS),
    probationMs: checkInteger("probationMs", options.probationMs, 0, 0, MAX_TIMER_MS),
    healthCheck: resolveHealthCheck(options),
    healthIntervalMs: checkInteger(
      "healthIntervalMs",
      options.healthIntervalMs,
      1_000,
      1,
      MAX_TIMER_MS,
    ),
    healthTimeoutMs: checkInteger(
      "healthTimeoutMs",
      options.healthTimeoutMs,
      5_000,
      1,
      MAX_TIMER_MS,
    ),
    maxDraining: checkInteger("maxDraining", options.maxDraining, 2, 0, 1_000),
    drainingPolicy: resolvePolicy(options.drainingPolicy),
    pidFile,
    systemd,
    control,
    signals: resolveSignals(options.signals),
    command: checkCommandOptions(options),
    logger: resolveLogger(options.logger),
    backend: options.backend,
  };
}
