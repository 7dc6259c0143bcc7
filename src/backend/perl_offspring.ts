/**
 * A small Perl program as the parent of all generations, on a Node that can make no C calls: for `changeover run`.
 *
 * Perl is a part of every Debian and Ubuntu, also of their slim images, and can make system calls. The program declares
 * itself a subreaper, starts what it is told to, takes note of every end and tells it. It never does anything else: who
 * gets which signal is decided by the process that started it.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import process from "node:process";
import type { ExitStatus } from "./backend.ts";
import {
  exitStatus,
  type Offspring,
  StartError,
  startError,
  type StartRequest,
} from "./offspring_types.ts";

/** `prctl` in the kernel's tables (unistd_64.h); others are not described. */
const PRCTL: Readonly<Record<string, number>> = { x64: 157, arm64: 167 };
const READY_MS = 5_000;

// Descriptors: 3 is told on, 4 tells, 5 and more are the sockets. The time in select() is for a signal that comes just
// before it: Perl runs handlers only between its own steps. Perl marks what it opens itself close-on-exec.
const PROGRAM = String.raw`
use strict; use POSIX qw(:sys_wait_h dup2); use Fcntl;
my ($prctl, $count, @command) = @ARGV;
exit 99 if syscall($prctl + 0, 36, 1, 0, 0, 0) != 0;
open(my $in, "<&=", 3) or exit 98;
open(my $out, ">&=", 4) or exit 98;
fcntl($_, F_SETFD, FD_CLOEXEC) for $in, $out;
my @sockets = map { open(my $socket, "+<&=", 5 + $_) or exit 98; $socket } 0 .. $count - 1;
sub tell_ { syswrite($out, join(" ", @_) . "\n") }
$SIG{PIPE} = "IGNORE";
$SIG{CHLD} = sub {};
tell_("ready");
my $told = "";
for (;;) {
  while ((my $pid = waitpid(-1, WNOHANG)) > 0) { tell_("ended", $pid, $?) }
  my $bits = "";
  vec($bits, 3, 1) = 1;
  next unless select($bits, undef, undef, 0.2) > 0;
  sysread($in, $told, 4096, length $told) or exit 0;
  while ($told =~ s/^start\n//) {
    fcntl($_, F_SETFL, fcntl($_, F_GETFL, 0) & ~O_NONBLOCK) for @sockets;
    pipe(my $failed, my $fail);
    my $pid = fork();
    if (!defined $pid) { tell_("failed", $! + 0); next }
    if ($pid == 0) {
      $SIG{PIPE} = $SIG{CHLD} = "DEFAULT";
      dup2(5 + $_, 3 + $_) for 0 .. $count - 1;
      POSIX::close($_) for ($count < 2 ? 5 : 3 + $count) .. 4 + $count;
      $ENV{LISTEN_PID} = $$ if $count > 0;
      exec { $command[0] } @command;
      syswrite($fail, $! + 0);
      POSIX::_exit(127);
    }
    close $fail;
    my $errno = "";
    sysread($failed, $errno, 16);
    if ($errno eq "") { tell_("started", $pid) } else { waitpid($pid, 0); tell_("failed", $errno) }
  }
}
`;

const ERRNO_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);

interface Starting {
  resolve(pid: number): void;
  reject(error: StartError): void;
}

class PerlOffspring implements Offspring {
  readonly reaps = true;
  readonly adopts = true;
  readonly helpers: readonly number[];
  readonly session: number;
  readonly #perl: ChildProcess;
  readonly #program: string;
  readonly #tell: Writable;
  #starting: Starting | undefined;
  #receive: (pid: number, status: ExitStatus) => void = () => {};

  constructor(perl: ChildProcess, program: string) {
    this.#perl = perl;
    this.#program = program;
    this.session = perl.pid ?? 0;
    this.helpers = [this.session];
    this.#tell = perl.stdio[3] as Writable;
    this.#tell.on("error", () => {}); // it has ended: see "exit"
    perl.once("exit", () => {
      this.#starting?.reject(new StartError(126, "cannot start the program: perl has ended"));
    });
  }

  start(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#starting = { resolve, reject };
      this.#tell.write("start\n");
    });
  }

  onEnd(receiver: (pid: number, status: ExitStatus) => void): void {
    this.#receive = receiver;
  }

  collect(): void {
    // It is told.
  }

  close(): void {
    this.#tell.end();
    this.#perl.unref();
  }

  /** What Perl has told. */
  heard(line: string): void {
    const [event, first, second] = line.split(" ");
    if (event === "started") this.#starting?.resolve(Number(first));
    if (event === "failed") {
      const code = ERRNO_NAMES.get(Number(first)) ?? "";
      const error = Object.assign(new Error(code), { code });
      this.#starting?.reject(startError(this.#program, error));
    }
    if (event === "ended") this.#receive(Number(first), exitStatus(Number(second)));
  }
}

/**
 * Starts Perl.
 *
 * @param request What it is to start, whenever it is asked to.
 * @returns Nothing where there is no Perl, or one that cannot do it.
 */
export function startPerl({ command, env, fds }: StartRequest): Promise<Offspring | undefined> {
  const prctl = PRCTL[process.arch];
  if (prctl === undefined) return Promise.resolve(undefined);
  const args = ["-e", PROGRAM, "--", String(prctl), String(fds.length), ...command];
  let perl: ChildProcess;
  try {
    perl = spawn("perl", args, {
      env,
      stdio: ["inherit", "inherit", "inherit", "pipe", "pipe", ...fds],
      detached: true, // see offspring.ts
    });
  } catch {
    return Promise.resolve(undefined);
  }
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      perl.kill("SIGKILL");
      resolve(undefined);
    }, READY_MS);
    const give = (offspring: Offspring | undefined) => {
      clearTimeout(timer);
      resolve(offspring);
    };
    perl.once("error", () => give(undefined));
    perl.once("exit", () => give(undefined));
    if (perl.pid === undefined) return;
    const offspring = new PerlOffspring(perl, command[0] ?? "");
    let pending = "";
    (perl.stdio[4] as Readable).setEncoding("utf8").on("data", (text: string) => {
      const lines = (pending + text).split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "ready") give(offspring);
        else offspring.heard(line);
      }
    }).on("error", () => {});
  });
}
