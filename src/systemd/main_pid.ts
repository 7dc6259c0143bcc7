/**
 * Makes a successor the child that systemd takes it for.
 *
 * When the successor is named main process it is a child of the old process. systemd remembers that ("Supervising process
 * ... which is not our child") also after the old one has ended and the successor has become its own child; `systemctl
 * stop` then sends SIGTERM and SIGKILL in one go, because it believes that it could not learn of the end (seen with 252,
 * 254 and 257). It thinks again when the main process changes. So once the old one is gone, the successor names a helper
 * for the blink of an eye, and the helper names the successor again: under `NotifyAccess=main` only the helper is heard
 * then. The helper ends when systemd has read its message, and as a failure: when the successor has died in between, the
 * helper is what systemd sees the end of, and that end has to lead to `Restart=on-failure`; in any other case nobody looks.
 *
 * @module
 */

import { accessSync, constants } from "node:fs";
import process from "node:process";
import type { Backend, Disposer } from "../backend/backend.ts";

// As root systemd-notify speaks for its parent, so that must be the helper. Else it speaks for itself, so it must become
// the helper; the first time is for NotifyAccess=all, where it is heard anyway, and where nothing is left to fail then.
const SCRIPT = {
  root: 'read -r go; systemd-notify "MAINPID=$1"; exit 1',
  user: 'read -r go; systemd-notify "MAINPID=$1"; ' +
    'case "$(cat "/proc/$1/stat" 2>/dev/null)" in ""|*") Z "*) exit 1;; esac; ' +
    'exec systemd-notify "MAINPID=$1"',
};
const SHELL = "/bin/sh";
const PROGRAM = "systemd-notify";
const LOOK_MS = 100;

/** The main process of the unit, as far as this process knows. */
export class MainPid {
  readonly #backend: Backend;
  readonly #socket: string;
  readonly #tell: (pid: number) => void;
  #pid: number;
  #timer: Disposer | undefined;
  #stopped = false;

  /** @param tell Sends `MAINPID`. */
  constructor(backend: Backend, socket: string, tell: (pid: number) => void) {
    this.#backend = backend;
    this.#socket = socket;
    this.#tell = tell;
    this.#pid = backend.pid;
  }

  /** Another process is the main process now. */
  passOn(pid: number): void {
    this.#pid = pid;
    this.stop();
  }

  /** The parent is about to be gone: begins when it is, and this process has another one. */
  reclaim(parentPid: number): void {
    if (this.#stopped) return;
    if (this.#backend.parentPid() === parentPid) {
      this.#timer = this.#backend.clock.after(LOOK_MS, () => this.reclaim(parentPid));
      return;
    }
    void this.#swap();
  }

  /** Does nothing any more. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.();
  }

  async #swap(): Promise<void> {
    const { PATH } = this.#backend.env;
    // Without the program the helper would end as the main process.
    if (!isThere(PROGRAM, PATH)) return;
    const script = process.getuid?.() === 0 ? SCRIPT.root : SCRIPT.user;
    await this.#backend.run({
      command: [SHELL, "-c", script, "sh", String(this.#pid)],
      env: { NOTIFY_SOCKET: this.#socket, ...(PATH === undefined ? {} : { PATH }) },
      started: (helper) => this.#backend.notify(this.#socket, `MAINPID=${helper}`),
    });
    // In case the helper failed, or this process was replaced while it was at work.
    this.#tell(this.#pid);
  }
}

/** Whether a program can be found. */
function isThere(program: string, path: string | undefined): boolean {
  return (path ?? "/usr/bin:/bin").split(":").some((folder) => {
    try {
      accessSync(`${folder}/${program}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
