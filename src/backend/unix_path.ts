/**
 * Paths of Unix sockets: bound under a temporary name, then renamed.
 *
 * Every runtime unlinks the path that it bound when it closes the listener, and would so delete the path that the next
 * generation serves. After the rename that unlink meets a name which no longer exists. The rename also replaces a stale
 * file in one step (`rename(2)`).
 *
 * @module
 */

import { lstatSync, renameSync, statSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { UpgradeError } from "../errors.ts";

/**
 * Under which name the socket for `path` is bound at first.
 *
 * @returns Another one each time, of seven digits that cannot be guessed: in a folder that others may write to, nobody can
 * take it first.
 */
export function temporaryUnixPath(path: string): string {
  const [random = 0] = crypto.getRandomValues(new Uint32Array(1));
  return `${path}.${1_000_000 + random % 9_000_000}`;
}

// How long the server that was asked may take to end the connection; a cut one would be an error to it.
const FAREWELL_MS = 250;

/** Whether somebody accepts connections at `path`. */
function answers(path: string): Promise<boolean> {
  const { connect } = process.getBuiltinModule("node:net");
  return new Promise((resolve) => {
    const socket = connect({ path });
    let connected = false;
    socket.once("connect", () => {
      connected = true;
      socket.resume();
      socket.end();
      setTimeout(() => socket.destroy(), FAREWELL_MS);
    });
    socket.once("close", () => resolve(connected));
    // A full queue (EAGAIN) is somebody's queue; a refusal is a file that outlived its server.
    socket.once("error", (error: Error & { code?: string }) => {
      if (error.code === "EAGAIN") connected = true;
    });
  });
}

/**
 * Makes sure that a Unix socket may be bound at `path`.
 *
 * @throws {UpgradeError} `ERR_ADDRESS` when the folder is missing, when something else than a socket is there, or when
 * another process serves it.
 */
export async function checkUnixPath(path: string): Promise<void> {
  const refuse = (why: string): never => {
    throw new UpgradeError("ERR_ADDRESS", `Cannot listen on unix:${path}: ${why}`);
  };
  const folder = dirname(path);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    refuse(`the folder ${folder} does not exist; create it first`);
  }
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there !== undefined && !there.isSocket()) {
    refuse("something that is not a socket is there; remove it or choose another path");
  }
  if (there !== undefined && await answers(path)) {
    refuse(
      "another process serves this path and it was not inherited from a parent; stop that process or choose another path",
    );
  }
}

/** Gives the bound socket its name. */
export function publishUnixPath(temporary: string, path: string): void {
  renameSync(temporary, path);
}
