/**
 * What `changeover run` was told.
 *
 * @module
 */

import { type Address, parseAddress } from "../../address.ts";
import type { Arguments } from "../arguments.ts";
import { durationOf } from "../duration.ts";
import { UsageError } from "../exit_codes.ts";

/** A socket to hold. */
export interface ListenOption {
  readonly address: Address;
  /** Its name in `LISTEN_FDNAMES`; `"unknown"` is how systemd calls one without. */
  readonly name: string;
}

/** What was told. */
export interface RunOptions {
  readonly command: readonly string[];
  readonly listen: readonly ListenOption[];
  readonly restart: boolean;
  readonly pidFile: string | undefined;
  readonly graceMs: number | undefined;
}

/**
 * Reads the arguments.
 *
 * @param args As they were parsed.
 * @returns What they mean.
 * @throws {UsageError} When they mean nothing.
 */
export function runOptions(args: Arguments): RunOptions {
  const command = args.rest;
  if (command.length === 0 || command[0] === "") {
    throw new UsageError("what is to be run? Write it after --: changeover run -- node server.js");
  }
  const when = args.get("restart") ?? "no";
  if (when !== "no" && when !== "on-failure") {
    throw new UsageError(`--restart must be "on-failure" or "no", not ${JSON.stringify(when)}`);
  }
  return {
    command,
    listen: listenOptions(args.all("listen")),
    restart: when === "on-failure",
    pidFile: args.get("pid-file"),
    graceMs: args.has("grace") ? durationOf(args, "grace", 0) : undefined,
  };
}

function listenOptions(texts: readonly string[]): readonly ListenOption[] {
  const options = texts.map(listenOption);
  for (const [index, { name }] of options.entries()) {
    if (name !== "unknown" && options.findIndex((other) => other.name === name) !== index) {
      throw new UsageError(`--listen: two sockets are called ${JSON.stringify(name)}`);
    }
  }
  return options;
}

function listenOption(text: string): ListenOption {
  // A path may have an equals sign: what follows the last one is a name if it can be one.
  const [, where = text, name = "unknown"] = /^(.+)=([^=/]*)$/s.exec(text) ?? [];
  // A colon separates names in LISTEN_FDNAMES; systemd takes no others either (FileDescriptorName=).
  if (!/^[\x21-\x39\x3b-\x7e]{1,255}$/.test(name)) {
    throw new UsageError(
      `--listen ${text}: ${
        JSON.stringify(name)
      } cannot be the name of a socket; use letters, digits and dashes`,
    );
  }
  try {
    return { address: parseAddress(where), name };
  } catch (error) {
    throw new UsageError(`--listen ${text}: ${(error as Error).message}`);
  }
}
