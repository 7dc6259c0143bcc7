/**
 * The path of the control socket: what may be there, and how the socket gets there.
 *
 * Nobody else can connect between `bind` and `chmod`, because the socket is bound in a private folder beside its path; and
 * nothing is ever followed or removed that is not a socket.
 *
 * @module
 */

import process from "node:process";
import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  mkdtempSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { UpgradeError } from "../errors.ts";

// sun_path of unix(7) has 108 bytes on Linux, 104 elsewhere, with the final NUL; the runtimes disagree about more.
const MAX_PATH_BYTES = 103;
const PRIVATE_PREFIX = ".co-";
// mkdtemp adds six characters, the socket in the folder has one.
const PRIVATE_LENGTH = PRIVATE_PREFIX.length + 6 + "/s".length;
// A served socket answers the connect(2) itself; only a full queue lets somebody wait.
const PROBE_MS = 2_000;

/** Says why a path cannot be the control socket. */
export function refusePath(path: string, why: string, cause?: unknown): UpgradeError {
  return new UpgradeError(
    "ERR_ADDRESS",
    `Cannot use control socket ${JSON.stringify(path)}: ${why}`,
    cause === undefined ? {} : { cause },
  );
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "this user may not write to its folder",
  ENOENT: "its folder does not exist; create it first",
  ENOTDIR: "what should be its folder is none",
  ENOSPC: "the disk is full",
  EPERM: "this user may not write to its folder",
  EROFS: "the file system is read-only",
};

/** The same, with the system's error. */
export function pathError(path: string, cause: unknown): UpgradeError {
  if (UpgradeError.is(cause)) return cause;
  const { code, message } = cause as { code?: string; message: string };
  return refusePath(path, REASONS[code ?? ""] ?? message, cause);
}

/** A socket that was published. */
export interface Published {
  /** What {@linkcode socketAt} says of it. */
  readonly socket: string;
  /** The user that it belongs to, which is the one that this process runs as. */
  readonly user: number;
}

/** Identifies the socket at a path; `undefined` when there is none. @throws {UpgradeError} when it is something else. */
export function socketAt(path: string): string | undefined {
  const there = lstatSync(path, { throwIfNoEntry: false, bigint: true });
  if (there === undefined) return undefined;
  if (!there.isSocket()) {
    const what = there.isSymbolicLink()
      ? "a symbolic link"
      : there.isDirectory()
      ? "a folder"
      : "a file";
    throw refusePath(
      path,
      `${what} is there, which is not touched; remove it or choose another path`,
    );
  }
  return `${there.dev}:${there.ino}`;
}

/**
 * Checks a path before anything depends on it.
 *
 * @param path Absolute.
 * @returns What an operator should know about its folder.
 * @throws {UpgradeError} `ERR_ADDRESS`
 */
export function checkPath(path: string): string[] {
  const folder = dirname(path);
  const bytes = (text: string) => new TextEncoder().encode(text).length;
  const longest = Math.max(bytes(basename(path)), PRIVATE_LENGTH);
  if (bytes(folder) + 1 + longest > MAX_PATH_BYTES) {
    throw refusePath(
      path,
      `it is too long for a Unix socket, whose path has at most ${MAX_PATH_BYTES} bytes (the library needs ${PRIVATE_LENGTH} after the folder)`,
    );
  }
  try {
    const stats = statSync(folder);
    if (!stats.isDirectory()) throw Object.assign(new Error("not a folder"), { code: "ENOTDIR" });
    checkWritable(folder);
    socketAt(path);
    const open = (stats.mode & 0o022) !== 0 && (stats.mode & 0o1000) === 0;
    return open
      ? [
        `the folder ${folder} of the control socket can be written to by others, who can put a socket of theirs in its place; use one that only this user may write to`,
      ]
      : [];
  } catch (error) {
    throw pathError(path, error);
  }
}

/** Deno asks for `--allow-sys=uid`, which nothing else needs, to answer `access(2)`; there the bind will tell. */
function checkWritable(folder: string): void {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    if ((error as { code?: unknown }).code !== undefined) throw error;
  }
}

/** Whether somebody serves the socket at a path. @throws {UpgradeError} `ERR_ADDRESS` when that may not be asked. */
export async function isServed(path: string): Promise<boolean> {
  try {
    return socketAt(path) !== undefined && await answers(path);
  } catch (error) {
    // Deno throws what it does not permit.
    throw pathError(path, error);
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = process.getBuiltinModule("node:net").connect({ path });
    let served = false;
    const timer = setTimeout(() => {
      served = true;
      socket.destroy();
    }, PROBE_MS);
    socket.once("connect", () => {
      served = true;
      socket.destroy();
    });
    // A full queue (EAGAIN) is somebody's queue; a refusal is a file that outlived its server.
    socket.once("error", (error: Error & { code?: string }) => {
      if (error.code === "EAGAIN" || error.code === "EACCES") served = true;
    });
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(served);
    });
  });
}

/**
 * Lets a server listen in a private folder, and gives its socket mode 0600 and then its path, all in this tick.
 *
 * @param path Where; what is there must be a socket or nothing.
 * @param listen Makes the server listen at a path, before it returns.
 * @throws {UpgradeError} `ERR_ADDRESS`; nothing is left behind, and what was at `path` is still there.
 */
export function publish(path: string, listen: (at: string) => void): Published {
  let folder: string | undefined;
  try {
    socketAt(path);
    // mkdtemp(3): mode 0700, and never one that is there already.
    folder = mkdtempSync(join(dirname(path), PRIVATE_PREFIX));
    const bound = join(folder, "s");
    listen(bound);
    const socket = socketAt(bound);
    if (socket === undefined) throw refusePath(path, "the socket could not be bound");
    chmodSync(bound, 0o600);
    renameSync(bound, path);
    if (socketAt(path) !== socket) throw refusePath(path, "somebody else has replaced it");
    return { socket, user: lstatSync(path).uid };
  } catch (error) {
    if (folder !== undefined) attempt(() => unlinkSync(join(folder as string, "s")));
    throw pathError(path, error);
  } finally {
    if (folder !== undefined) attempt(() => rmdirSync(folder as string));
  }
}

/** Removes the socket at a path if it still is the one that was published. */
export function unpublish(path: string, socket: string): void {
  attempt(() => {
    if (socketAt(path) === socket) unlinkSync(path);
  });
}

function attempt(action: () => void): void {
  try {
    action();
  } catch {
    // Gone already, or its folder is not ours any more.
  }
}
