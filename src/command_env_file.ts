/**
 * Files of environment variables that are read again at each upgrade.
 *
 * A child inherits the variables of its parent, and `node --env-file` leaves those alone that are there already: without
 * this, what was changed in the file would never reach a successor.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import * as util from "node:util";
import { below } from "./command_files.ts";
import { UpgradeError } from "./errors.ts";
import type { EnvOverlay } from "./options.ts";

/** One path or several, of which the later ones win. */
export type EnvFile = string | readonly string[];

const MAX_BYTES = 1024 * 1024;

function fail(path: string, why: string, cause?: unknown): never {
  throw new UpgradeError(
    "ERR_SPAWN",
    `Cannot start the next generation: \`envFile\` ${JSON.stringify(path)} ${why}`,
    cause === undefined ? {} : { cause },
  );
}

function parse(path: string): Record<string, string> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const { code } = cause as { code?: string };
    return fail(
      path,
      code === "ENOENT"
        ? "does not exist; restore it, or correct the path"
        : `cannot be read (${code ?? cause}); correct it`,
      cause,
    );
  }
  if (text.length > MAX_BYTES) fail(path, "is longer than 1 MiB; it must hold variables only");
  const { parseEnv } = util as { parseEnv?: (text: string) => Record<string, string> };
  if (parseEnv === undefined) fail(path, "cannot be understood here; use Node 20.12 or later");
  return { ...parseEnv(text) };
}

/**
 * Reads the files: `NAME=value` lines, as `node --env-file` takes them.
 *
 * @param files As the user gave them; relative ones are below `cwd`.
 * @param cwd The child's working directory.
 * @param known Names that the files had when this process was started: those that are gone are removed.
 * @returns What is to be merged over the environment.
 * @throws {UpgradeError} `ERR_SPAWN` when one cannot be read.
 */
export function readEnvFiles(
  files: EnvFile | undefined,
  cwd: string,
  known: ReadonlySet<string> = new Set(),
): EnvOverlay {
  if (files === undefined) return {};
  const removed = [...known].map((name) => [name, undefined]);
  const paths = typeof files === "string" ? [files] : files;
  const read = paths.map((path) => parse(below(cwd, path)));
  return Object.assign(Object.fromEntries(removed), ...read);
}

/** The names that the files have now; none when they cannot be read. */
export function namesInEnvFiles(files: EnvFile | undefined, cwd: string): ReadonlySet<string> {
  try {
    return new Set(Object.keys(readEnvFiles(files, cwd)));
  } catch {
    return new Set();
  }
}
