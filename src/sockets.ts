/**
 * The register of inherited and used sockets: who has which descriptor, under which name.
 *
 * A descriptor has one owner: an inherited one belongs to this register until it is claimed, to the server that
 * claimed it afterwards. `closeUnclaimed` ends the first kind.
 *
 * @module
 */

import { type Address, type BoundAddress, formatAddress } from "./address.ts";
import type { Listener } from "./backend/backend.ts";
import { UpgradeError } from "./errors.ts";
import { FIRST_SOCKET_FD, type SocketEntry, type SocketKind } from "./protocol.ts";
import type { Activation } from "./systemd/activation.ts";

/** A socket that this process uses. */
export interface UsedSocket {
  readonly identity: string;
  readonly kind: SocketKind;
  /** The descriptor to pass on. */
  readonly fd: () => number;
  /** Where the kernel says it is bound; as `hello` writes it. */
  readonly address: string;
  /** Its listener; absent for raw descriptors. */
  readonly listener?: Listener;
  /** What the user sees; absent for raw descriptors. */
  readonly bound?: BoundAddress;
  /** Whether a service manager made it. */
  readonly managed?: boolean | undefined;
}

/** The address that the user sees for one used socket. */
export type SocketAddress = BoundAddress & {
  /** The name that identifies the socket across generations. */
  readonly name: string;
};

/** Inherited and used sockets of this process. */
export class SocketRegister {
  readonly #inherited: Map<string, SocketEntry>;
  readonly #used = new Map<string, UsedSocket>();
  readonly #claiming = new Set<string>();
  readonly #activation: Activation | undefined;
  #abandoned: SocketEntry[] = [];

  /**
   * @param inherited What the parent passed.
   * @param activation What a service manager passed; to the first generation only.
   */
  constructor(inherited: readonly SocketEntry[] = [], activation?: Activation) {
    const entries = [...inherited, ...activation?.raw ?? []];
    this.#inherited = new Map(entries.map((entry) => [entry.identity, entry]));
    this.#activation = activation;
  }

  /**
   * Takes an inherited socket for a server; the caller owns the descriptor from now on.
   *
   * @param address What `listen` or `bind` was asked for: what a service manager passed is found by it.
   * @returns The socket, or `undefined` when none was inherited under this name.
   * @throws {UpgradeError} `ERR_ADDRESS` when the name is in use or stands for another kind of socket.
   */
  claim(identity: string, kind: SocketKind, address?: Address): SocketEntry | undefined {
    if (this.#used.has(identity) || this.#claiming.has(identity)) {
      throw new UpgradeError(
        "ERR_ADDRESS",
        `Cannot use "${identity}": it is in use in this process already; give the second one a name of its own`,
      );
    }
    const entry = this.#inherited.get(identity) ??
      (address === undefined ? undefined : this.#activation?.claim(address));
    if (entry !== undefined && entry.kind !== kind) {
      throw new UpgradeError(
        "ERR_ADDRESS",
        `Cannot use "${identity}": the parent passed a ${entry.kind} socket under this name, not a ${kind} one`,
      );
    }
    this.#claiming.add(identity);
    this.#inherited.delete(identity);
    return entry;
  }

  /** The claim failed; the descriptor, if there was one, is closed by whoever claimed it. */
  release(identity: string): void {
    this.#claiming.delete(identity);
  }

  /** Records a socket that is in use now. */
  use(socket: UsedSocket): void {
    this.#claiming.delete(socket.identity);
    this.#used.set(socket.identity, socket);
  }

  /** The sockets in use, in the order in which they were claimed. */
  get used(): readonly UsedSocket[] {
    return [...this.#used.values()];
  }

  /** Names of the inherited descriptors of a kind that nobody claimed. */
  unclaimed(kind: SocketKind): string[] {
    return [...this.#inherited.values()].filter((entry) => entry.kind === kind).map((entry) =>
      entry.identity
    );
  }

  /**
   * Closes what nobody claimed, once. The paths of abandoned Unix sockets are told by {@linkcode abandoned}.
   *
   * @returns What a service manager passed in vain, as text for people.
   */
  closeUnclaimed(close: (fd: number, managed: boolean) => void): string[] {
    const inVain = this.#activation?.giveUp() ?? [];
    for (const { fd } of inVain) close(fd, true);
    const raw = this.unclaimed("raw").filter((identity) => this.#inherited.get(identity)?.managed);
    this.#abandoned.push(...this.#inherited.values());
    for (const { fd, managed } of this.#inherited.values()) close(fd, managed ?? false);
    this.#inherited.clear();
    return [
      ...inVain.map(({ name, bound }) => `"${name}" (${bound.kind} ${formatAddress(bound)})`),
      ...raw.map((identity) => `"${identity.slice("fd:".length)}" (no listening socket)`),
    ];
  }

  /** Unix sockets that were inherited and that this generation does not serve; not those of a service manager. */
  get abandoned(): readonly SocketEntry[] {
    return this.#abandoned.filter(({ kind, managed }) => kind === "unix" && !managed);
  }

  /** Bound addresses for the user. */
  get addresses(): SocketAddress[] {
    return this.used.flatMap(({ identity, bound }) =>
      bound === undefined ? [] : [{ name: identity, ...bound }]
    );
  }

  /**
   * What `hello` says, and the descriptors in the same order.
   *
   * @throws {UpgradeError} `ERR_ADOPT` when the descriptor of a server is not known.
   */
  passOn(): { readonly entries: SocketEntry[]; readonly fds: number[] } {
    const used = this.used;
    const fds = used.map((socket) => socket.fd());
    const staying = used[fds.findIndex((fd) => fd < 0)];
    if (staying !== undefined) {
      throw new UpgradeError(
        "ERR_ADOPT",
        `Cannot upgrade: the server on ${staying.address} cannot pass its socket on; ${
          staying.listener?.stays ?? "its descriptor is not known"
        }`,
      );
    }
    return {
      fds,
      entries: used.map(({ kind, identity, address, managed }, index) => ({
        fd: FIRST_SOCKET_FD + index,
        kind,
        identity,
        address,
        ...(managed ? { managed } : {}),
      })),
    };
  }
}
