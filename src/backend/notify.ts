/**
 * Datagrams to a service manager: by the C library, else by the program `systemd-notify`.
 *
 * @module
 */

import type { Backend } from "./backend.ts";
import type { Libc } from "./libc/libc.ts";

/** Sends by the C library. @throws {LibcError} */
export function notifyByLibc(libc: Libc, socket: string, message: string): void {
  libc.sendDatagram(socket.replace(/^@/, "\0"), new TextEncoder().encode(message));
}

/**
 * Sends by a helper. Run by root it says that its parent is the sender, else the manager sees the helper and accepts it
 * under `NotifyAccess=all` only. It ends when the manager has read the message, so that none is lost with its sender.
 *
 * @throws {Error} When there is no such program, or it failed.
 */
export async function notifyByHelper(
  backend: Pick<Backend, "run" | "env">,
  socket: string,
  message: string,
): Promise<void> {
  const { PATH } = backend.env;
  const { code, signal } = await backend.run({
    command: ["systemd-notify", ...message.split("\n").filter((line) => line !== "")],
    env: { NOTIFY_SOCKET: socket, ...(PATH === undefined ? {} : { PATH }) },
  });
  if (code === 0) return;
  throw new Error(
    code === 127
      ? 'this Node can send it only by the program "systemd-notify", which is not there; install systemd, the package koffi, or Node 26'
      : `systemd-notify ${signal === null ? `exited with code ${code}` : `was ended by ${signal}`}`,
  );
}
