/**
 * Node says that its calls to C are an experiment, each time: whoever runs a program does not want to know.
 *
 * @module
 */

import process from "node:process";

/** Leaves this one warning out from now on. */
export function hideFfiWarning(): void {
  const listeners = process.listeners("warning");
  process.removeAllListeners("warning");
  process.on("warning", (warning) => {
    if (warning.name === "ExperimentalWarning" && /\bFFI\b/.test(warning.message)) return;
    for (const listener of listeners) listener.call(process, warning);
  });
}
