/**
 * What a program can tell systemd besides what an `Upgrader` tells by itself.
 *
 * The upgrader takes sockets of a `.socket` unit and reports readiness, reloads, the main process, stops and life signs
 * without a line of code: docs/systemd.md says which settings that needs.
 *
 * @example A status of the application's own
 * ```ts no-eval
 * import { notify } from "@changeover/changeover/systemd";
 *
 * await notify({ STATUS: "1200 clients" });
 * ```
 *
 * @module
 */

import process from "node:process";
import { loadBackend } from "../backend/load.ts";

/**
 * Sends a message to the service manager, as `sd_notify(3)` does.
 *
 * @param fields Names and values, for example `{ STATUS: "reading the index" }` or `{ EXTEND_TIMEOUT_USEC: 5_000_000 }`.
 * @returns Whether there is a manager: `false` without `NOTIFY_SOCKET`.
 * @throws {TypeError} When a name or a value has more than one line.
 * @throws {Error} When it cannot be sent.
 */
export async function notify(
  fields: Readonly<Record<string, string | number | bigint>>,
): Promise<boolean> {
  const lines = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
  for (const line of lines) {
    if (!/^[A-Z0-9_]+=[^\n\0]*$/.test(line)) {
      throw new TypeError(
        `Cannot notify: ${JSON.stringify(line)} is no NAME=value of one line`,
      );
    }
  }
  const { NOTIFY_SOCKET: socket } = process.env;
  if (socket === undefined || socket === "") return false;
  await (await loadBackend()).notify(socket, lines.join("\n"));
  return true;
}
