/**
 * A real service manager for tests, in namespaces of its own: see `systemd_user_manager.sh`.
 *
 * @module
 */

import { execFile, execFileSync, spawnSync } from "node:child_process";
import {
  accessSync,
  chownSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { until } from "./chain.ts";
import { current } from "./runtimes.ts";

const script = fileURLToPath(new URL("./systemd_user_manager.sh", import.meta.url));
const MANAGER = "/lib/systemd/systemd";
const PROGRAMS = [
  "systemctl",
  "systemd-notify",
  "unshare",
  "setpriv",
  "script",
  "setsid",
  "timeout",
];
/** Who runs the services of the unprivileged tests; no such user need exist. */
const NOBODY = 61_234;
/** Another version, unpacked into a folder that has a `usr`: `CHANGEOVER_TEST_SYSTEMD`. */
const otherRoot = process.env["CHANGEOVER_TEST_SYSTEMD"] ?? "";

function version(): number {
  const program = otherRoot === "" ? MANAGER : join(otherRoot, "usr", MANAGER);
  const env = otherRoot === "" ? {} : {
    env: { ...process.env, LD_LIBRARY_PATH: join(otherRoot, "usr/lib/x86_64-linux-gnu/systemd") },
  };
  return Number(/systemd (\d+)/.exec(execFileSync(program, ["--version"], env).toString())?.[1]);
}

/** Why no manager can be started here, or `false`. */
export const skipSystemd: string | false = (() => {
  if (process.platform !== "linux") return "systemd is for Linux";
  if (process.getuid?.() !== 0) return "a systemd of its own needs root, for namespaces";
  const path = (process.env["PATH"] ?? "").split(":");
  const isThere = (file: string) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  };
  if (!isThere(MANAGER)) return `systemd is not installed: there is no ${MANAGER}`;
  const missing = PROGRAMS.find((name) => !path.some((folder) => isThere(join(folder, name))));
  if (missing !== undefined) return `a systemd of its own needs the program "${missing}"`;
  const mounts = spawnSync("unshare", ["--mount", "--cgroup", "--propagation", "private", "true"]);
  if (mounts.status !== 0) return "namespaces cannot be made here";
  const cgroup = readFileSync("/proc/mounts", "utf8");
  return /\s\/sys\/fs\/cgroup(?:\/unified)? cgroup2 rw/.test(cgroup)
    ? false
    : "there is no writable cgroup2 hierarchy";
})();

/** Why the same cannot be had without privileges, or `false`. */
export const skipUnprivileged: string | false = skipSystemd || (() => {
  const tried = spawnSync("setpriv", [
    `--reuid=${NOBODY}`,
    `--regid=${NOBODY}`,
    "--clear-groups",
    ...current().command(fileURLToPath(new URL("../fixtures/hello.ts", import.meta.url))),
  ], { env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", DENO_DIR: "/tmp/none" } });
  return tried.stdout.toString() === "hello\n"
    ? false
    : "another user cannot run the runtime from this folder";
})();

/** Version of systemd; 0 when there is none. */
export const systemdVersion: number = skipSystemd === false ? version() : 0;

/** What a command said, and how it ended. */
export interface Ran {
  readonly code: number;
  readonly output: string;
}

/** A running service manager. */
export class Manager {
  /** For everything of the test; the services may write there. */
  readonly folder: string;
  readonly #uid: number | undefined;

  private constructor(uid: number | undefined) {
    this.folder = mkdtempSync(join(tmpdir(), "sd"));
    this.#uid = uid;
  }

  /** Starts a manager. Whoever calls this calls `down`. */
  static async up(user: "root" | "unprivileged"): Promise<Manager> {
    const manager = new Manager(user === "root" ? undefined : NOBODY);
    try {
      const { status } = spawnSync(script, ["up", manager.folder], {
        env: {
          ...process.env,
          U: user === "root" ? "" : String(NOBODY),
          SYSTEMD_ROOT: otherRoot,
        },
        stdio: "ignore",
      });
      if (status !== 0) throw new Error(`systemd cannot be started: ${status}`);
      await until(
        "systemd is up",
        async () => (await manager.systemctl("is-active", "t.target")).code === 0,
        30_000,
      );
      return manager;
    } catch (error) {
      const log = manager.log;
      manager.down();
      throw new Error(`${(error as Error).message}; its log: ${log}`);
    }
  }

  /** What the manager wrote, and whoever started it. */
  get log(): string {
    return ["log", "out"].map((name) => {
      try {
        return readFileSync(join(this.folder, name), "utf8");
      } catch {
        return "";
      }
    }).join("\n");
  }

  /** A path in the folder. */
  path(name: string): string {
    return join(this.folder, name);
  }

  /** Makes a folder that the services own. */
  mkdir(name: string): string {
    const path = this.path(name);
    mkdirSync(path);
    if (this.#uid !== undefined) chownSync(path, this.#uid, this.#uid);
    return path;
  }

  /** Writes unit files and has them read. */
  async install(units: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, text] of Object.entries(units)) {
      writeFileSync(this.path(`units/${name}`), text);
    }
    const { code, output } = await this.systemctl("daemon-reload");
    if (code !== 0) throw new Error(`daemon-reload failed: ${output}`);
  }

  /** Runs `systemctl --user`; as the same user, because the manager listens to nobody else. */
  systemctl(...args: readonly string[]): Promise<Ran> {
    const command = ["systemctl", "--user", ...args];
    const as = this.#uid === undefined ? [] : [
      "setpriv",
      `--reuid=${this.#uid}`,
      `--regid=${this.#uid}`,
      "--clear-groups",
    ];
    const [file = "", ...rest] = [...as, ...command];
    return new Promise((resolve) => {
      execFile(file, rest, {
        env: {
          PATH: process.env["PATH"] ?? "",
          XDG_RUNTIME_DIR: this.path("run"),
          SYSTEMD_PAGER: "",
          LC_ALL: "C",
        },
        timeout: 60_000,
      }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, output: `${stdout}${stderr}` });
      });
    });
  }

  /** Properties of a unit, by name. */
  async show(unit: string, ...names: readonly string[]): Promise<Record<string, string>> {
    const { output } = await this.systemctl("show", unit, `--property=${names.join(",")}`);
    return Object.fromEntries(
      output.split("\n").filter((line) => line.includes("=")).map((line) => {
        const at = line.indexOf("=");
        return [line.slice(0, at), line.slice(at + 1)];
      }),
    );
  }

  /** Ends everything that it started, and itself. */
  down(): void {
    spawnSync(script, ["down", this.folder], { stdio: "ignore", timeout: 30_000 });
    rmSync(this.folder, { recursive: true, force: true });
  }
}
