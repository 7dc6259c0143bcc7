/**
 * A control socket on a real path, whose clock stands still.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlSocket } from "../../src/control/control.ts";
import { LINGER_MS } from "../../src/control/server.ts";
import { UpgradeError } from "../../src/errors.ts";
import { ManualClock } from "../../src/testing/clock.ts";

/** Who cleans up: the context of a test, or what a script has instead. */
export interface Cleanup {
  after(clean: () => unknown): void;
}

/** What is to be opened. */
export interface OpenOptions {
  /** Where; default: in a folder of its own. */
  readonly path?: string;
  /** The user whom clients seem to be. */
  readonly user?: number;
  /** What becomes of upgrades: by default they wait for `decide`. */
  readonly upgrades?: "refused";
}

/** How an upgrade ends. */
export interface Decide {
  resolve(report: unknown): void;
  reject(error: unknown): void;
}

/** What {@linkcode openControl} makes. */
export interface OpenControl {
  readonly socket: ControlSocket;
  readonly path: string;
  readonly clock: ManualClock;
  readonly warnings: string[];
  /** What was asked for. */
  readonly asked: string[];
  /** Ends the upgrade that was asked for; `undefined` before. */
  decide(): Decide | undefined;
}

/** A folder of its own. */
export function folderFor(t: Cleanup): string {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Makes one that is not at its path yet. */
export function idleControl(path: string, options: OpenOptions = {}): Omit<OpenControl, "path"> {
  const clock = new ManualClock();
  const warnings: string[] = [];
  const asked: string[] = [];
  let decide: Decide | undefined;
  const socket = new ControlSocket(path, {
    clock,
    caughtUp: async () => {
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    },
    secure: () => {},
    peerUser: () => options.user,
    warn: (message) => warnings.push(message),
    actions: {
      status: () => ({ generation: 1 }),
      upgrade: () => {
        asked.push("upgrade");
        return options.upgrades === "refused"
          ? Promise.reject(new UpgradeError("ERR_UPGRADE_IN_PROGRESS", "Cannot upgrade: one runs"))
          : new Promise((resolve, reject) => decide = { resolve, reject });
      },
      stop: () => void asked.push("stop"),
      metrics: () => "up 1\n",
    },
  });
  return { socket, clock, warnings, asked, decide: () => decide };
}

/** Makes one that answers. */
export function openControl(t: Cleanup, options: OpenOptions = {}): OpenControl {
  const path = options.path ?? join(folderFor(t), "c.sock");
  const made = idleControl(path, options);
  made.socket.take();
  t.after(async () => {
    made.socket.leave();
    await made.clock.advance(LINGER_MS);
  });
  return { ...made, path };
}
