/**
 * The end of what was written to standard error, where that is a file.
 *
 * A child writes to the same standard error as its parent: a pipe in between would break when the parent leaves. What
 * went into a file can be read again.
 *
 * @module
 */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";

// proc(5): opened anew, so that the position of the descriptor stays where it is.
const STDERR = "/proc/self/fd/2";
const MAX_BYTES = 8192;

function sizeOfFile(): number | undefined {
  try {
    const stats = fstatSync(2);
    return stats.isFile() ? stats.size : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Remembers where standard error ends now.
 *
 * @returns Reads what was written since, at most the last 8 KiB; nothing where standard error is no file.
 */
export function markStderr(): () => string {
  const from = sizeOfFile();
  return () => {
    const to = sizeOfFile();
    if (from === undefined || to === undefined || to <= from) return "";
    const begin = Math.max(from, to - MAX_BYTES);
    try {
      const fd = openSync(STDERR, "r");
      try {
        const bytes = new Uint8Array(to - begin);
        const length = readSync(fd, bytes, 0, bytes.length, begin);
        return new TextDecoder().decode(bytes.subarray(0, length));
      } finally {
        closeSync(fd);
      }
    } catch {
      return ""; // Deno without the permission to read /proc.
    }
  };
}
