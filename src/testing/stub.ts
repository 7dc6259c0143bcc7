/**
 * An upgrader that cannot upgrade: for tests of programs that use one, and for systems where upgrades cannot work.
 *
 * @module
 */

import type { Socket } from "node:dgram";
import { once } from "node:events";
import { Server } from "node:net";
import hostProcess from "node:process";
import { type Address, type BoundAddress, formatAddress } from "../address.ts";
import type { Backend, ListenAt, Listener, ListenTarget, Runtime } from "../backend/backend.ts";
import { UpgradeError } from "../errors.ts";
import type { UpgraderOptions } from "../options.ts";
import { Upgrader } from "../upgrader.ts";
import { fakeBackend } from "./backend.ts";

/** Options of {@linkcode createStub}: those of `Upgrader.create`; what only an upgrade would need is not looked at. */
export type StubOptions = Omit<UpgraderOptions, "backend">;

const WHY = 'Cannot upgrade: this is the stub from "changeover/testing", which only serves; ' +
  "use Upgrader.create() on Linux or macOS";

function addressOf(server: unknown, { address }: ListenTarget): BoundAddress {
  if (address.kind === "unix") return { kind: "unix", path: address.path };
  const told = (server as { address?: unknown }).address;
  const { address: host, hostname, port } = {
    ...(typeof told === "function" ? told.call(server) : undefined),
    ...(server as { addr?: object }).addr,
    ...(typeof told === "function" ? {} : pick(server)),
  } as { address?: string; hostname?: string; port?: number };
  return {
    kind: address.kind,
    hostname: host ?? hostname ?? address.hostname ?? "::",
    port: port ?? address.port,
  };
}

/** Some servers tell these by getters of their class, which a spread would not see. */
function pick(server: unknown): object {
  const { hostname, port } = server as { hostname?: unknown; port?: unknown };
  return {
    ...(typeof hostname === "string" ? { hostname } : {}),
    ...(typeof port === "number" ? { port } : {}),
  };
}

function stopAccepting(server: unknown): void {
  // The close of an HTTP server would cut idle connections.
  if (server instanceof Server) {
    if (server.listening) Server.prototype.close.call(server);
    return;
  }
  const candidate = server as Record<string, unknown>;
  const method = ["shutdown", "stop", "close"].find((name) =>
    typeof candidate[name] === "function"
  );
  const closing = method === undefined ? undefined : (candidate[method] as () => unknown)();
  if (closing instanceof Promise) closing.catch(() => {});
}

function atOf(address: Address): ListenAt {
  if (address.kind === "unix") return { path: address.path, unix: address.path };
  const { port, hostname } = address;
  const where = hostname === undefined ? {} : { hostname, host: hostname };
  if (address.kind === "tcp") return { port, ...where };
  // Without a host name a dgram socket binds every address of its type, the others of every type.
  return {
    port,
    ...where,
    ...(hostname === undefined ? {} : { address: hostname }),
    transport: "udp",
  };
}

/** A `dgram.Socket` that is being bound; it does not tell whether it is, except by having an address. */
function isBinding(server: unknown): server is Socket {
  if (typeof (server as Socket | null)?.bind !== "function") return false;
  try {
    (server as Socket).address();
    return false;
  } catch {
    return true;
  }
}

async function listening(target: ListenTarget, begin: () => unknown): Promise<Listener> {
  let server: unknown;
  try {
    server = await begin();
    const pending = server as { listening?: unknown; once?: unknown } | null | undefined;
    if (pending?.listening === false && typeof pending.once === "function") {
      await once(server as Server, "listening");
    }
    if (isBinding(server)) await once(server, "listening");
  } catch (cause) {
    const where = formatAddress(target.address);
    const { message } = cause as Error;
    throw new UpgradeError("ERR_ADDRESS", `Cannot listen on ${where}: ${message}`, { cause });
  }
  if (typeof server !== "object" || server === null) {
    throw new UpgradeError(
      "ERR_ADOPT",
      `Cannot use the server for ${formatAddress(target.address)}: the function returned nothing`,
    );
  }
  const isUdp = target.address.kind === "udp";
  return {
    server,
    fd: -1,
    bound: addressOf(server, target),
    open: () => Promise.resolve(),
    // A UDP socket can answer until the drain is over.
    close() {
      if (!isUdp) stopAccepting(server);
    },
    finish() {
      try {
        if (isUdp) stopAccepting(server);
      } catch {
        // Closed by the application.
      }
    },
  };
}

function runtimeName(): Runtime {
  const { versions } = hostProcess as { versions: Readonly<Record<string, string>> };
  return (["deno", "bun"] as const).find((name) => versions[name] !== undefined) ?? "node";
}

/** Real servers, clock and signals; no other process. */
function nativeBackend(): Backend {
  const { backend } = fakeBackend({ runtime: runtimeName(), pid: hostProcess.pid });
  return {
    runtime: backend.runtime,
    version: "stub",
    pid: hostProcess.pid,
    facts: backend.facts,
    // Nobody invites a stub, so that a test which runs below a real upgrader is left alone.
    env: {},
    clock: {
      now: () => performance.now(),
      after(ms, callback) {
        const timer = setTimeout(callback, ms) as unknown as { unref?: () => void };
        timer.unref?.();
        return () => clearTimeout(timer as unknown as number);
      },
    },
    parentPid: () => hostProcess.ppid,
    isAlive: (pid) => backend.isAlive(pid),
    startedAt: () => undefined,
    kill: (pid, signal) => hostProcess.kill(pid, signal),
    spawn: (request) => backend.spawn(request),
    openChannel: (fd) => backend.openChannel(fd),
    breathe: () => Promise.resolve(),
    caughtUp: () => Promise.resolve(),
    secure: () => true,
    notify: () => Promise.resolve(),
    monotonicUsec: () => BigInt(Math.round(performance.now() * 1_000)),
    run: () => Promise.resolve({ code: 127, signal: null }),
    failAtExit() {},
    boundAt: () => Promise.resolve(undefined),
    isSocket: () => false,
    mayBeChannel: () => false,
    closeFd() {},
    listen: (server, target) =>
      listening(target, () => {
        const at = atOf(target.address);
        if (target.address.kind === "udp") (server as Socket).bind(at);
        else (server as Server).listen(at);
        return server;
      }),
    start: (start, target) => listening(target, () => start(atOf(target.address))),
    onSignal(signal, handler) {
      hostProcess.on(signal, handler);
      return () => hostProcess.off(signal, handler);
    },
    onFatalError: () => () => {},
  };
}

/**
 * Makes an {@linkcode Upgrader} that serves, stops and drains as the real one does, on every system, as often as wanted
 * in one process, and that refuses every upgrade.
 *
 * It is always generation 1, its servers listen natively, and it takes no signals unless `signals` says so.
 *
 * @param options As for `Upgrader.create`.
 * @returns The stub; its `upgrade()` rejects `ERR_UNSUPPORTED`.
 *
 * @example A program that also runs on Windows
 * ```ts no-eval
 * import process from "node:process";
 * import { Upgrader } from "@changeover/changeover";
 * import { createStub } from "@changeover/changeover/testing";
 *
 * const upgrader = process.platform === "win32" ? await createStub() : await Upgrader.create();
 * ```
 */
export async function createStub(options: StubOptions = {}): Promise<Upgrader> {
  const upgrader = await Upgrader.create({
    ...options,
    signals: options.signals ?? false,
    backend: nativeBackend(),
  });
  // On the instance, so that a signal or a control request finds it as well.
  return Object.assign(upgrader, {
    upgrade: () => Promise.reject(new UpgradeError("ERR_UNSUPPORTED", WHY)),
  });
}
