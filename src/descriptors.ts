/**
 * Raw descriptors that travel with the upgrades: files, pipes, established connections.
 *
 * @module
 */

import type { Backend } from "./backend/backend.ts";
import { UpgradeError } from "./errors.ts";
import type { SocketRegister } from "./sockets.ts";

/** Raw descriptors that travel with the upgrades; see `Upgrader.fds`. */
export interface Descriptors {
  /**
   * Passes a descriptor on at every upgrade. The caller keeps it open and closes it; close-on-exec is set.
   *
   * @param name Under which the next generation takes it.
   * @param fd A descriptor of this process: file, pipe, connection.
   * @throws {UpgradeError} `ERR_ADDRESS` when the name or the descriptor is in use, or it is not open.
   */
  add(name: string, fd: number): void;
  /**
   * Takes an inherited descriptor; it is the caller's from now on, and is passed on at the next upgrade again.
   *
   * @param name Under which the parent added it.
   * @returns The descriptor, or `undefined` when none was passed under that name.
   */
  take(name: string): number | undefined;
  /** Names of the inherited descriptors that nobody has taken; those left at `ready()` are closed. */
  names(): string[];
}

const PREFIX = "fd:";

function checkName(name: string): string {
  if (typeof name !== "string" || name === "" || name.length > 255) {
    throw new TypeError(
      "Cannot use the name of a descriptor: expected a string of 1 to 255 characters",
    );
  }
  return PREFIX + name;
}

/** The raw descriptors of a process. */
export function descriptorsOf(register: SocketRegister, backend: Backend): Descriptors {
  const inherited = () => register.unclaimed("raw");
  return {
    add(name, fd) {
      const identity = checkName(name);
      const refuse = (why: string): never => {
        throw new UpgradeError("ERR_ADDRESS", `Cannot add "${name}": ${why}`);
      };
      if (!Number.isInteger(fd) || fd < 0) {
        throw new TypeError(`Cannot add "${name}": ${String(fd)} is not a file descriptor`);
      }
      // Deno cannot pass the same number twice.
      if (register.used.some((socket) => socket.fd() === fd)) {
        refuse(`descriptor ${fd} is passed on already`);
      }
      if (!backend.secure(fd, false)) refuse(`descriptor ${fd} is not open`);
      const replaced = register.claim(identity, "raw");
      // Inherited under this name and never taken: the new one takes its place.
      if (replaced !== undefined) backend.closeFd(replaced.fd);
      register.use({ identity, kind: "raw", fd: () => fd, address: "" });
    },
    take(name) {
      const identity = checkName(name);
      if (!inherited().includes(identity)) return undefined;
      const entry = register.claim(identity, "raw");
      if (entry === undefined) return undefined;
      const { fd, managed } = entry;
      register.use({ identity, kind: "raw", fd: () => fd, address: "", managed });
      return fd;
    },
    names: () => inherited().map((identity) => identity.slice(PREFIX.length)),
  };
}
