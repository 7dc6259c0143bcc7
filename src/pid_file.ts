/**
 * The PID file: replaced in one step by its owner, removed only by its owner.
 *
 * The functions are synchronous, because they are called in the same tick in which ownership changes. On Deno they
 * need `--allow-read` and `--allow-write` for the folder of the file.
 *
 * @module
 */

import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "this user may not write there",
  EDQUOT: "the quota is used up",
  EISDIR: "it is a folder",
  ELOOP: "its symbolic links form a loop",
  ENAMETOOLONG: "its name is too long",
  ENOENT: "its folder does not exist",
  ENOSPC: "the disk is full",
  ENOTDIR: "what should be its folder is none",
  EPERM: "this user may not write there",
  EROFS: "the file system is read-only",
};

// A PID has at most ten digits; what fills this is no PID file.
const MAX_READ_BYTES = 32;

/** What {@linkcode checkPidFile} can be told. */
export interface CheckPidFileOptions {
  /**
   * The folder to which a relative path belongs; best the un-realpathed one, see `ownWorkingDirectory`.
   *
   * @default process.cwd()
   */
  readonly cwd?: string;
}

/**
 * Checks a PID file's path at the door, before anything depends on it: the folder is there and can be written to.
 *
 * @param path Absolute, or relative to the working directory.
 * @param options Where a relative path begins.
 * @returns The absolute path, so that a later `chdir` does not move the file.
 * @throws {TypeError} When `path` is no text that can be a path.
 * @throws {Error} When the file could not be written; the message says why, `cause` is the system's error.
 */
export function checkPidFile(path: string, options: CheckPidFileOptions = {}): string {
  if (typeof path !== "string" || path === "" || path.includes("\0") || path.endsWith("/")) {
    throw new TypeError(
      `Cannot use ${JSON.stringify(path)} as a PID file: expected a path such as "/run/app.pid"`,
    );
  }
  const file = resolve(options.cwd ?? process.cwd(), path);
  try {
    if (!statSync(dirname(file)).isDirectory()) throw systemError("ENOTDIR");
    checkWritable(dirname(file));
    if (lstatSync(file, { throwIfNoEntry: false })?.isDirectory()) throw systemError("EISDIR");
  } catch (cause) {
    throw failure("use", file, cause);
  }
  return file;
}

/**
 * Writes a PID file so that a reader finds the old content or the new one, and never a part of one.
 *
 * A new file is written beside it and renamed over it (`rename(2)`). The new file is created with `O_EXCL`, so that a
 * symbolic link planted in a shared folder is not followed; a PID file that is a link itself is replaced. It is not
 * synced to the disk: after a crash of the machine no PID means anything.
 *
 * @param path The file; mode 0644 less the umask.
 * @param pid What to write: decimal, with a newline.
 * @throws {Error} When that failed; the old file is untouched, and nothing is left behind.
 */
export function writePidFile(path: string, pid: number): void {
  const temporary = temporaryFile(dirname(path), pid);
  try {
    writeFileSync(temporary, `${pid}\n`, { flag: "wx", mode: 0o644 });
    renameSync(temporary, path);
  } catch (cause) {
    // With EEXIST the file is not ours, and its name is taken by chance once in 2^32.
    if (codeOf(cause) !== "EEXIST") attempt(() => rmSync(temporary, { force: true }));
    throw failure("write", path, cause);
  }
}

/**
 * Removes a PID file if it still holds the given PID, so that a process that has been replaced leaves its successor's file alone.
 *
 * Between the look and the removal another process could write its own; the protocol rules that out, since
 * only one process owns the file at a time.
 *
 * @param path The file.
 * @param pid The PID that it must hold.
 * @returns Whether it was removed; `false` when it is gone, or holds something else.
 * @throws {Error} When it could not be read or removed.
 */
export function removePidFile(path: string, pid: number): boolean {
  try {
    if (readPidText(path)?.trim() !== String(pid)) return false;
    rmSync(path);
    return true;
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return false;
    throw failure("remove", path, cause);
  }
}

/**
 * Reads a PID file that somebody else may have put there: links are not followed, nothing is waited for.
 *
 * @param path The file.
 * @param looks How often to look when it is another file by the time it is open, as in an upgrade.
 * @returns What it holds, empty when that is too much for a PID; `undefined` for anything that is no file.
 * @throws {Error} The system's, when there is none or it cannot be read.
 */
export function readPidText(path: string, looks = 5): string | undefined {
  const there = lstatSync(path, { bigint: true });
  if (!there.isFile()) return undefined;
  // Deno ignores O_NOFOLLOW (seen with 2.9.6); O_NONBLOCK is for a FIFO that took the file's place meanwhile.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const opened = fstatSync(fd, { bigint: true });
    if (opened.dev !== there.dev || opened.ino !== there.ino) {
      return looks > 1 ? readPidText(path, looks - 1) : undefined;
    }
    const bytes = new Uint8Array(MAX_READ_BYTES);
    const length = readSync(fd, bytes, 0, bytes.length, 0);
    return length === bytes.length ? "" : new TextDecoder().decode(bytes.subarray(0, length));
  } finally {
    closeSync(fd);
  }
}

/** Deno asks for `--allow-sys=uid`, which nothing else needs, to answer `access(2)`; so there it is tried out. */
function checkWritable(folder: string): void {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (codeOf(error) !== undefined) throw error;
    const trial = temporaryFile(folder, process.pid);
    writeFileSync(trial, "", { flag: "wx" });
    rmSync(trial);
  }
}

function temporaryFile(folder: string, pid: number): string {
  return join(folder, `.changeover-${pid}-${crypto.randomUUID().slice(0, 8)}`);
}

function failure(verb: string, path: string, cause: unknown): Error {
  const reason = REASONS[codeOf(cause) ?? ""] ??
    (cause instanceof Error ? cause.message : String(cause));
  return new Error(`Cannot ${verb} PID file ${JSON.stringify(path)}: ${reason}`, { cause });
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

function systemError(code: string): Error {
  return Object.assign(new Error(REASONS[code]), { code });
}

function attempt(action: () => void): void {
  try {
    action();
  } catch {
    // The first error is the one to report.
  }
}
