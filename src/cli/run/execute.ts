/**
 * `changeover run`: the logic and the machine are brought together.
 *
 * @module
 */

import { mkdtempSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type HeldSocket, holdSocket } from "../../backend/held_sockets.ts";
import { createOffspring } from "../../backend/offspring.ts";
import { StartError } from "../../backend/offspring_types.ts";
import { checkPidFile, removePidFile, writePidFile } from "../../pid_file.ts";
import { ENV_NAME } from "../../protocol.ts";
import { RUNNER_VARIABLE } from "../../runner.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { CommandError, USAGE } from "../exit_codes.ts";
import { MachineWorld } from "./machine_world.ts";
import { hideFfiWarning } from "./quiet.ts";
import { type ListenOption, type RunOptions, runOptions } from "./run_options.ts";
import { Supervisor } from "./supervisor.ts";
import { hasTerminal, isBoundToTerminal, stopHere } from "./terminal.ts";

/** Signals that are passed on. */
const PASSED_ON: readonly string[] = [
  "SIGHUP",
  "SIGTERM",
  "SIGINT",
  "SIGQUIT",
  "SIGUSR1",
  "SIGUSR2",
  "SIGWINCH",
];

/** Variables that were meant for this process, and would deceive what it starts. */
const PERSONAL: readonly string[] = [
  ENV_NAME,
  "LISTEN_PID",
  "LISTEN_PIDFDID",
  "LISTEN_FDS",
  "LISTEN_FDNAMES",
  "WATCHDOG_PID",
];

/** Runs the command. @returns The exit code of its newest generation. */
export async function execute(args: Arguments, context: Context): Promise<number> {
  const options = runOptions(args);
  hideFfiWarning();
  const undo: (() => void)[] = [];
  let exitCode: number;
  try {
    exitCode = await runService(options, context, undo);
  } catch (error) {
    if (error instanceof StartError) throw new CommandError(error.exitCode, error.message);
    throw error;
  } finally {
    for (const step of undo.reverse()) step();
  }
  // Not by the end of the event loop: Node takes the handlers of signals out first, and a late Ctrl-C would then end
  // this process in place of the exit code.
  process.exit(exitCode);
}

async function runService(
  options: RunOptions,
  context: Context,
  undo: (() => void)[],
): Promise<number> {
  const pidFile = options.pidFile === undefined
    ? undefined
    : refused(() => checkPidFile(options.pidFile as string));
  const sockets: HeldSocket[] = [];
  undo.push(() => sockets.forEach((socket) => socket.close()));
  for (const { address } of options.listen) {
    try {
      sockets.push(await holdSocket(address));
    } catch (error) {
      throw new CommandError(USAGE, (error as Error).message);
    }
  }
  if (pidFile !== undefined) {
    refused(() => writePidFile(pidFile, process.pid));
    undo.push(() => removePidFile(pidFile, process.pid));
  }
  const ownerFile = makeOwnerFile(undo);
  const offspring = await createOffspring({
    command: options.command,
    env: environment(context.env, ownerFile, options.listen),
    fds: sockets.map(({ fd }) => fd),
  });
  undo.push(() => offspring.close());
  if (offspring.reaps !== true && process.pid === 1) {
    say(
      `this is the first process of a container and cannot take note of the ends of older generations, which stay as ` +
        `zombies: ${offspring.reaps}`,
    );
  }
  const supervisor = new Supervisor(new MachineWorld(offspring, ownerFile, say), options);
  offspring.onEnd((pid, end) => supervisor.told(pid, end));
  // Never taken out: one that comes late must not end this process in place of the exit code.
  listenToSignals(supervisor, context);
  await supervisor.begin();
  return await supervisor.ended;
}

/** Not by the context's stream: whoever reads it may be gone, which must not end the service. */
function say(message: string): void {
  try {
    writeSync(2, `changeover: ${message}\n`);
  } catch {
    // Nobody reads it.
  }
}

function refused<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new CommandError(USAGE, (error as Error).message);
  }
}

/** The file in which the owner of the service tells its number, in the first folder that can be written to. */
function makeOwnerFile(undo: (() => void)[]): string | undefined {
  for (const folder of [tmpdir(), "/run", "/dev/shm", process.cwd()]) {
    try {
      const own = mkdtempSync(join(folder, "changeover-run-"));
      undo.push(() => rmSync(own, { recursive: true, force: true }));
      return join(own, "owner");
    } catch {
      // Read-only, as in many containers.
    }
  }
  return undefined;
}

function environment(
  current: Readonly<Record<string, string | undefined>>,
  ownerFile: string | undefined,
  listen: readonly ListenOption[],
): Readonly<Record<string, string>> {
  const all: Record<string, string | undefined> = { ...current };
  for (const name of [...PERSONAL, RUNNER_VARIABLE]) delete all[name];
  if (ownerFile !== undefined) all[RUNNER_VARIABLE] = ownerFile;
  if (listen.length > 0) {
    all["LISTEN_FDS"] = String(listen.length);
    all["LISTEN_FDNAMES"] = listen.map(({ name }) => name).join(":");
  }
  return Object.fromEntries(
    Object.entries(all).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
}

function listenToSignals(supervisor: Supervisor, context: Context): void {
  const bound = isBoundToTerminal();
  const toAll = (signal: string) => {
    for (const { pid } of supervisor.members) {
      try {
        process.kill(pid, signal);
      } catch {
        // Gone meanwhile.
      }
    }
  };
  for (const name of PASSED_ON) {
    context.onSignal(name, () => {
      // The terminal is gone, and with it whoever wanted the service in the foreground; an upgrade is not meant.
      const hungUp = name === "SIGHUP" && bound && !hasTerminal();
      supervisor.signal(hungUp ? "SIGTERM" : name);
    });
  }
  context.onSignal("SIGCHLD", () => supervisor.check());
  // The service is in a session of its own, which the terminal does not reach.
  context.onSignal("SIGTSTP", () => {
    toAll("SIGSTOP");
    stopHere();
  });
  context.onSignal("SIGCONT", () => toAll("SIGCONT"));
}
