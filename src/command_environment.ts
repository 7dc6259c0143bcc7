/**
 * The environment of the next generation.
 *
 * @module
 */

import { UpgradeError } from "./errors.ts";
import type { EnvOverlay } from "./options.ts";
import { ENV_NAME } from "./protocol.ts";

/** How {@linkcode childEnvironment} changes the environment. */
export interface ChildEnvironmentOptions {
  /** Merged over the current variables, one after the other. */
  readonly overlays: readonly EnvOverlay[];
  /** The child's working directory, for `PWD`. */
  readonly cwd: string;
}

/**
 * Variables that are addressed to one process and would deceive the next: our invitation, systemd's socket activation
 * (`sd_listen_fds(3)`: the descriptors have other numbers in the child) and its watchdog (`sd_watchdog_enabled(3)`:
 * without a PID, `WATCHDOG_USEC` is for whoever reads it).
 */
const PERSONAL = [
  ENV_NAME,
  "LISTEN_PID",
  "LISTEN_PIDFDID",
  "LISTEN_FDS",
  "LISTEN_FDNAMES",
  "WATCHDOG_PID",
];

/**
 * The environment of the child: the current one with overlays, `PWD` set, without what was meant for this process only.
 *
 * @param current The environment of this process.
 * @param options What is merged over it, and the child's folder.
 * @returns A new record.
 * @throws {UpgradeError} `ERR_SPAWN` when an overlay has a name or a value that no environment can hold.
 */
export function childEnvironment(
  current: Readonly<Record<string, string | undefined>>,
  options: ChildEnvironmentOptions,
): Record<string, string> {
  const merged: Record<string, string | undefined> = { ...current };
  for (const overlay of options.overlays) {
    if (typeof overlay !== "object" || overlay === null || Array.isArray(overlay)) {
      refuse("`env` is no record of variables", 'give one such as { PORT: "8080" }');
    }
    for (const [name, value] of Object.entries(overlay)) {
      if (name === "" || /[=\0]/.test(name)) {
        refuse(
          `${JSON.stringify(name)} in \`env\` is no name of a variable`,
          "names have no equals sign or NUL",
        );
      }
      if (value !== undefined && (typeof value !== "string" || value.includes("\0"))) {
        // The value is not shown: it may be a secret.
        refuse(
          `the value of ${JSON.stringify(name)} in \`env\` is no text without NUL`,
          "give a string, or undefined to remove the variable",
        );
      }
      merged[name] = value;
    }
  }
  merged["PWD"] = options.cwd;
  for (const name of PERSONAL) delete merged[name];
  const defined = Object.entries(merged).filter(([, value]) => value !== undefined);
  return Object.fromEntries(defined) as Record<string, string>;
}

function refuse(what: string, todo: string): never {
  throw new UpgradeError("ERR_SPAWN", `Cannot start the next generation: ${what}; ${todo}`);
}
