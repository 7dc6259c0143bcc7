/**
 * The runtime that runs the test, its operating system, and the backend for them.
 *
 * @module
 */

import {
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
} from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Backend } from "../../src/backend/backend.ts";
import { loadBackend } from "../../src/backend/load.ts";
import { current } from "../support/runtimes.ts";
import { type Kind, kinds } from "./kinds.ts";
import type { Host, World } from "./world.ts";

const fixture = fileURLToPath(new URL("../fixtures/contract_child.ts", import.meta.url));

/** The kinds of servers that this runtime has. */
export const realKinds: readonly Kind[] = kinds.filter(({ runtime }) =>
  runtime === undefined || runtime === current().runtime
);

// fcntl.h of Linux on every processor that the runtimes are built for but PowerPC and SPARC.
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

/** The process that calls this. */
export function realHost(backend: Backend): Host {
  return {
    backend,
    program: current().command(fixture),
    descriptors() {
      const found = new Map<number, string>();
      for (const fd of readdirSync("/proc/self/fd").map(Number).sort((a, b) => a - b)) {
        try {
          if (fd > 2) found.set(fd, readlinkSync(`/proc/self/fd/${fd}`));
        } catch {
          // The descriptor with which the folder was read.
        }
      }
      return found;
    },
    flags(fd) {
      const told = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
      const flags = parseInt(/^flags:\s*(\d+)/m.exec(told)?.[1] ?? "", 8);
      return {
        nonBlocking: (flags & O_NONBLOCK) !== 0,
        closeOnExec: (flags & O_CLOEXEC) !== 0,
      };
    },
    stay: () => void setInterval(() => {}, 1_000_000),
    exit: (code) => process.exit(code),
    crash(how, message) {
      setTimeout(() => {
        if (how === "error") throw new Error(message);
        void Promise.reject(new Error(message));
      }, 0);
    },
  };
}

/** The world of a test. */
export async function realWorld(): Promise<World & AsyncDisposable> {
  const backend = await loadBackend();
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "contract-")));
  const undoes: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  const after = (undo: () => unknown) => void undoes.push(undo);
  return {
    ...realHost(backend),
    name: current().name,
    cannot: realLimits(),
    kinds: realKinds,
    env: Object.fromEntries(
      Object.entries(process.env).filter((entry): entry is [string, string] =>
        entry[1] !== undefined
      ),
    ),
    folder,
    openFile() {
      const fd = openSync("/dev/null", "r");
      after(() => backend.closeFd(fd));
      return fd;
    },
    pass: () => Promise.resolve(),
    endIdle: () => Promise.resolve(),
    after,
    async [Symbol.asyncDispose]() {
      for (const undo of undoes.reverse()) await undo();
    },
  };
}

/** What cannot be seen on this machine. */
export function realLimits(): World["cannot"] {
  const ipv6 = Object.values(networkInterfaces()).flat().some((it) => it?.family === "IPv6");
  return ipv6 ? {} : { IPv6: "this machine has no IPv6" };
}

/** Why none of it can be seen: the tests read /proc. */
export const skipReal: string | false = process.platform === "linux"
  ? false
  : "descriptors are read from /proc, which only Linux has";
