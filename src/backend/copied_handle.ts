/**
 * A second descriptor for a listening socket, on Node without calls to libc.
 *
 * Nothing in Node stops a server from accepting but closing its handle, and with the last descriptor the socket and all
 * clients in its queue would go. So the handle is sent to a process that sends it back (SCM_RIGHTS, unix(7)): what
 * arrives is a handle of the same socket, with a number of its own, for which the event loop does not wait.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { UpgradeError } from "../errors.ts";

/** What is used of a handle of libuv's. */
export interface SocketHandle {
  readonly fd: number;
  close(): void;
}

// It sends back what it is sent, says when it has closed it itself, and ends with the channel.
const ECHO = "process.on('message',(m,h)=>process.send(m,h,()=>{h.close();process.send(m)}));" +
  "process.on('disconnect',process.exit)";
// The process needs some tens of milliseconds; a machine that is very busy some seconds.
const ECHO_MS = 30_000;

let echo: { readonly child: ChildProcess; users: number } | undefined;

function refuse(why: string, cause?: unknown): UpgradeError {
  return new UpgradeError(
    "ERR_UNSUPPORTED",
    `Cannot pause the server: ${why}`,
    cause === undefined ? {} : { cause },
  );
}

/** The process that sends handles back; one for all who need it at a time. */
function open(): ChildProcess {
  if (echo !== undefined) {
    echo.users += 1;
    return echo.child;
  }
  const sea = process.getBuiltinModule?.("node:sea") as { isSea?(): boolean } | undefined;
  if (sea?.isSea?.() === true) {
    throw refuse("a single executable application has no Node to start; use parallel upgrades");
  }
  const { PATH, LD_LIBRARY_PATH } = process.env;
  // The program of this very process, also when a newer one has taken its place, or none (proc(5)).
  const program = process.platform === "linux" ? "/proc/self/exe" : process.execPath;
  const child = spawn(program, ["-e", ECHO], {
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    // Of its own: what is meant for the application (NODE_OPTIONS) would be loaded here, too.
    env: { PATH, LD_LIBRARY_PATH },
    // The folder of this process may be gone.
    cwd: "/",
    // Ctrl-C in a terminal is not meant for it.
    detached: true,
  });
  // Several sockets may be on their way at once.
  child.setMaxListeners(0);
  echo = { child, users: 1 };
  return child;
}

function close(child: ChildProcess): void {
  if (echo?.child !== child || --echo.users > 0) return;
  echo = undefined;
  if (child.connected) child.disconnect();
}

let lastName = 0;

/**
 * Copies the handle of a socket.
 *
 * @param handle As a `net.Server` has it.
 * @returns A handle of the same socket; whoever calls this closes it.
 * @throws {UpgradeError} `ERR_UNSUPPORTED` when no process can be started for it.
 */
export async function copyHandle(handle: SocketHandle): Promise<SocketHandle> {
  const child = open();
  const name = `socket ${++lastName}`;
  let settle = () => {};
  try {
    return await new Promise<SocketHandle>((resolve, reject) => {
      const fail = (error: unknown) =>
        reject(
          refuse("its socket could not be copied by a process that was started for it", error),
        );
      let received: SocketHandle | undefined;
      const onMessage = (message: unknown, copy: unknown) => {
        if (message !== name) return;
        // Resolved when nobody else has the socket: whoever closes it then refuses clients from that moment on.
        if (received !== undefined) resolve(received);
        else if (typeof (copy as SocketHandle | undefined)?.fd === "number") {
          received = copy as SocketHandle;
        } else fail(undefined);
      };
      // With its end it has closed the socket, too.
      const onExit = () => received === undefined ? fail(undefined) : resolve(received);
      const timer = setTimeout(onExit, ECHO_MS);
      child.on("message", onMessage);
      child.once("error", fail);
      child.once("exit", onExit);
      settle = () => {
        clearTimeout(timer);
        child.off("message", onMessage);
        child.off("error", fail);
        child.off("exit", onExit);
      };
      // Not in the types: the handle itself, as node:cluster sends it.
      child.send(name, handle as never, (error) => error && fail(error));
    });
  } finally {
    settle();
    // Left when somebody else's error comes later: nobody waits for it.
    child.on("error", () => {});
    close(child);
  }
}
