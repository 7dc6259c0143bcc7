/**
 * The terminal that a service was started from: whether it is gone, and Ctrl-Z.
 *
 * @module
 */

import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { isatty } from "node:tty";

/** Whether this process was started from a terminal whose end is to be the service's end. */
export function isBoundToTerminal(): boolean {
  // Not with nohup or a redirection of all three.
  return [0, 1, 2].some((fd) => isatty(fd)) && hasTerminal();
}

/** Whether this process still has a controlling terminal: a hang-up takes it away (tty(4)). */
export function hasTerminal(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r"));
    return true;
  } catch {
    return false;
  }
}

/** Stops this process like Ctrl-Z without a handler; it goes on with `fg` or `bg`. */
export function stopHere(): void {
  process.kill(process.pid, "SIGSTOP");
}
