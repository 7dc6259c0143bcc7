/**
 * The few questions that choosing a command asks the file system.
 *
 * @module
 */

import { accessSync, constants, statSync } from "node:fs";

/** What a file is wanted for. */
export type FileUse = "program" | "script" | "folder";

/** Questions to the file system; symbolic links are followed. */
export interface FileProbes {
  /** Which file a path leads to (device and inode); `undefined` when that cannot be told. */
  identity(path: string): string | undefined;
  /** What stands in the way of using a path, as the end of a sentence; `undefined` when nothing does, or it cannot be told. */
  problem(path: string, use: FileUse): string | undefined;
}

/** Where {@linkcode findProgram} looks. */
export interface FindProgramOptions {
  /** The value of `PATH`; without one, `/bin` and `/usr/bin` (`execvp(3)`). */
  readonly path: string | undefined;
  /** The folder to which relative paths belong. */
  readonly cwd: string;
  /** The file system. */
  readonly probes: FileProbes;
}

const VERBS: Readonly<Record<FileUse, string>> = {
  program: "executed",
  script: "read",
  folder: "entered",
};

/** The real file system. On Deno it needs `--allow-read`, and knows nothing without. */
export const fileProbes: FileProbes = {
  identity(path: string): string | undefined {
    try {
      const { dev, ino } = statSync(path, { bigint: true });
      return `${dev}:${ino}`;
    } catch {
      return undefined;
    }
  },

  problem(path: string, use: FileUse): string | undefined {
    try {
      const stat = statSync(path);
      if (use === "folder" && !stat.isDirectory()) return "is not a folder";
      if (use !== "folder" && stat.isDirectory()) return "is a folder";
      if (use === "program" && !stat.isFile()) return "is not a program";
      accessSync(path, use === "script" ? constants.R_OK : constants.X_OK);
      return undefined;
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (code === "ENOENT" || code === "ENOTDIR") return "does not exist";
      if (code === "EACCES" || code === "EPERM") return `may not be ${VERBS[use]} by this user`;
      if (code === "ELOOP") return "is a loop of symbolic links";
      // Anything else, above all a permission of Deno's that was not given, is left for the spawn to find out.
      return undefined;
    }
  },
};

/**
 * Finds a program as `execvp(3)` does: a bare name on `PATH`, anything with a slash where it says.
 *
 * @param name What was typed.
 * @param options Where to look.
 * @returns The absolute path, symbolic links in it untouched; `undefined` when there is no such program.
 */
export function findProgram(name: string, options: FindProgramOptions): string | undefined {
  const { path, cwd, probes } = options;
  if (name === "") return undefined;
  const candidates = name.includes("/")
    ? [below(cwd, name)]
    // An empty entry stands for the working directory (POSIX, section 8.3).
    : (path ?? "/bin:/usr/bin").split(":").map((folder) => `${below(cwd, folder)}/${name}`);
  return candidates.find((file) => probes.problem(file, "program") === undefined);
}

/**
 * The path as the kernel reads it: unlike `path.resolve`, `..` after a symbolic link leaves the folder it leads to.
 *
 * @param folder An absolute path.
 * @param path Absolute, or relative to `folder`.
 * @returns An absolute path that is not normalised.
 */
export function below(folder: string, path: string): string {
  if (path.startsWith("/")) return path;
  return path === "" ? folder : `${folder.replace(/\/$/, "")}/${path.replace(/^(?:\.\/+)+/, "")}`;
}
