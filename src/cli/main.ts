#!/usr/bin/env node
/**
 * The program `changeover`: replaces, watches and stops services that use this library.
 *
 * ```sh
 * npx changeover --help
 * bunx changeover --help
 * deno run -A jsr:@changeover/changeover/cli --help
 * ```
 *
 * This file is wiring: arguments, environment, streams and exit code. What they mean is in `program.ts`, and each
 * command is loaded when it is asked for, because people wait for the prompt.
 *
 * @module
 */

import process from "node:process";
import type { Output } from "./context.ts";
import { run } from "./program.ts";

// Nobody reads any more (`changeover status --watch | head -1`): what a program does then, without a stack trace.
const BROKEN_PIPE = 141;

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  out: outputOf(process.stdout),
  err: outputOf(process.stderr),
  onSignal: (name, handler) => {
    process.on(name, handler);
    return () => process.off(name, handler);
  },
});

function outputOf(stream: NodeJS.WriteStream): Output {
  stream.on("error", (error: { readonly code?: string }) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(BROKEN_PIPE);
  });
  return {
    write: (text) => void stream.write(text),
    isTerminal: stream.isTTY === true,
    get columns() {
      return stream.columns || 80; // 0 where the terminal does not know
    },
  };
}
