/**
 * The table of commands. To add one: describe it in `commands/<name>.ts`, put its code into `<name>.ts`, and add it
 * here; help, parsing, exit codes and the check of docs/cli.md follow from the description.
 *
 * @module
 */

import type { Command } from "./command.ts";
import { run } from "./commands/run.ts";
import { status } from "./commands/status.ts";
import { stop } from "./commands/stop.ts";
import { upgrade } from "./commands/upgrade.ts";

/** All commands, in the order of the help. */
export const COMMANDS: readonly Command[] = [upgrade, status, stop, run];
