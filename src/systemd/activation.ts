/**
 * Sockets that a service manager passed to the first generation: which `listen` takes which.
 *
 * They are inherited like those of a parent; only how they are recognised differs, because a unit knows nothing of the
 * identities of this library: by the name that the unit gives them (`FileDescriptorName=`), else by where they are
 * bound. A path that the manager made is the manager's: no generation renames or removes it.
 *
 * @module
 */

import { type Address, type BoundAddress, formatAddress, identityOf } from "../address.ts";
import type { Backend } from "../backend/backend.ts";
import { UpgradeError } from "../errors.ts";
import { comparableHostname } from "../hostname.ts";
import type { SocketEntry } from "../frames.ts";
import { LISTEN_VARIABLES, type PassedDescriptor, passedDescriptors } from "./variables.ts";

/** A passed socket that `listen` or `bind` can serve. */
export interface ActivatedSocket extends PassedDescriptor {
  readonly bound: BoundAddress;
}

/** What was passed and nobody has claimed yet. */
export class Activation {
  readonly #sockets: ActivatedSocket[];
  /** Whatever is no socket that can be served: FIFOs, connections, Unix datagram sockets, stored files. */
  readonly raw: readonly SocketEntry[];

  constructor(sockets: readonly ActivatedSocket[], others: readonly PassedDescriptor[]) {
    this.#sockets = [...sockets];
    const seen = new Map<string, number>();
    this.raw = others.map(({ fd, name }) => {
      const count = (seen.get(name) ?? 0) + 1;
      seen.set(name, count);
      const identity = `fd:${count === 1 ? name : `${name}.${count}`}`;
      return { fd, kind: "raw", identity, address: "", managed: true };
    });
  }

  /**
   * Takes the socket that an address means.
   *
   * @param address What `listen` or `bind` was asked for.
   * @returns The socket, which is the caller's from now on; `undefined` when none was passed for it.
   * @throws {UpgradeError} `ERR_ADDRESS` when the name stands for something else, or for more than one.
   */
  claim(address: Address): SocketEntry | undefined {
    const found = this.#named(address) ??
      this.#sockets.find(({ bound }) => isMeant(address, bound));
    if (found === undefined) return undefined;
    this.#sockets.splice(this.#sockets.indexOf(found), 1);
    const { fd, bound } = found;
    return {
      fd,
      kind: bound.kind,
      identity: identityOf(address),
      address: formatAddress(bound),
      managed: true,
    };
  }

  /** What is left. */
  get unclaimed(): readonly ActivatedSocket[] {
    return this.#sockets;
  }

  /** Gives up what is left; the caller closes it. */
  giveUp(): readonly ActivatedSocket[] {
    return this.#sockets.splice(0);
  }

  #named(address: Address): ActivatedSocket | undefined {
    const { name, kind } = address;
    if (name === undefined) return undefined;
    const refuse = (why: string): never => {
      throw new UpgradeError("ERR_ADDRESS", `Cannot use "${name}": ${why}`);
    };
    const named = this.#sockets.filter((socket) => socket.name === name);
    const fitting = named.filter(({ bound }) => bound.kind === kind);
    if (fitting.length <= 1) {
      if (fitting[0] !== undefined) return fitting[0];
      if (named[0] !== undefined) {
        refuse(
          `the service manager passed a ${named[0].bound.kind} socket under it, not a ${kind} one`,
        );
      }
      if (this.raw.some(({ identity }) => identity === `fd:${name}`)) {
        refuse(
          `what the service manager passed under it is no listening socket that could be recognised; take it as ` +
            `fds.take("${name}")`,
        );
      }
      return undefined;
    }
    const exact = fitting.find(({ bound }) => isMeant(address, bound));
    if (exact !== undefined) return exact;
    const where = fitting.map(({ bound }) => formatAddress(bound)).join(", ");
    return refuse(
      `the service manager passed ${fitting.length} sockets under it, on ${where}; listen on one of these addresses, ` +
        `or give each a socket unit with a FileDescriptorName= of its own`,
    );
  }
}

/** Whether a socket is bound to what a user wrote. */
function isMeant(address: Address, bound: BoundAddress): boolean {
  if (address.kind === "unix" || bound.kind === "unix") {
    return address.kind === "unix" && bound.kind === "unix" && address.path === bound.path;
  }
  // Port 0 means any port, and so names none.
  if (address.kind !== bound.kind || address.port !== bound.port || bound.port === 0) return false;
  const there = comparableHostname(bound.hostname);
  if (address.hostname === undefined) return there === "::" || there === "0.0.0.0";
  if (address.hostname === "localhost") return there === "::1" || there === "127.0.0.1";
  return comparableHostname(address.hostname) === there;
}

/**
 * Reads what a service manager passed to this process and removes the variables, so that no other process that is
 * started from here finds them.
 *
 * @param backend Of this process.
 * @param isFirst Whether this is the first generation; later ones get theirs from the parent.
 * @param warn Told what an operator should look at.
 * @returns What was passed.
 * @throws {UpgradeError} `ERR_PROTOCOL` when a variable cannot be read, or a descriptor is not open.
 */
export async function readActivation(
  backend: Backend,
  isFirst: boolean,
  warn: (message: string) => void,
): Promise<Activation> {
  const variables: Record<string, string | undefined> = {};
  for (const name of LISTEN_VARIABLES) {
    variables[name] = backend.env[name];
    if (variables[name] !== undefined) delete backend.env[name];
  }
  const sockets: ActivatedSocket[] = [];
  const others: PassedDescriptor[] = [];
  for (const passed of isFirst ? passedDescriptors(variables, backend.pid, warn) : []) {
    const { fd, name } = passed;
    const bound = await backend.boundAt(fd);
    // The manager clears O_NONBLOCK and close-on-exec of what it passes (systemd.exec(5), NonBlocking=).
    if (!backend.secure(fd, bound !== undefined)) {
      throw new UpgradeError(
        "ERR_PROTOCOL",
        `Cannot use the sockets that were passed: LISTEN_FDS counts descriptor ${fd} ("${name}"), which is not open`,
      );
    }
    if (bound === undefined) others.push(passed);
    else sockets.push({ ...passed, bound });
  }
  return new Activation(sockets, others);
}
