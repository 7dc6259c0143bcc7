/**
 * UDP on Node: `bind({ fd })` takes the inherited socket, and the handle pauses it.
 *
 * `node:dgram` has no public way to stop reading without closing, which would also end the answers. The handle's
 * `recvStop` is what `close()` calls first (lib/dgram.js). Node reads one datagram per call (it does not ask libuv for
 * `recvmmsg`), so nothing is in user space when it stops.
 *
 * @module
 */

import { Socket } from "node:dgram";
import process from "node:process";
import { type BoundAddress, sameBound } from "../address.ts";
import type { ListenAt, Listener, ListenTarget } from "./backend.ts";
import {
  checkFamily,
  datagramAt,
  type DatagramParts,
  type DatagramSocket,
  isDatagramSocket,
  refusal,
} from "./datagram.ts";

/** What is used of libuv's UDP handle; both return 0 or a negative error (`src/udp_wrap.cc`). */
interface Handle {
  readonly fd: number;
  recvStart(): number;
  recvStop(): number;
}

/** The handle of a bound socket. Its old name `_handle` (DEP0112) prints a warning. */
function handleOf(socket: DatagramSocket): Handle | undefined {
  const key = Object.getOwnPropertySymbols(socket).find(({ description }) =>
    description === "state symbol"
  );
  const state = (socket as unknown as Record<symbol, { handle?: Partial<Handle> | null }>)[key!];
  const handle = state?.handle;
  return typeof handle?.recvStop === "function" && typeof handle.recvStart === "function" &&
      typeof handle.fd === "number" && handle.fd >= 0
    ? handle as Handle
    : undefined;
}

/**
 * Makes every `bind({ fd })` on one descriptor leave the socket paused, until the user's function has returned.
 *
 * Node tells `"listening"` inside of such a `bind`, and in a later turn of any other; a start function that awaits the
 * event is to work in every generation.
 *
 * @param fd The inherited descriptor.
 * @returns Puts the prototype's method back.
 */
function holdBind(fd: number): () => void {
  const prototype = Socket.prototype as unknown as DatagramSocket;
  const original = prototype.bind;
  prototype.bind = function (this: DatagramSocket, ...args: Parameters<DatagramSocket["bind"]>) {
    if ((args[0] as ListenAt | undefined)?.fd !== fd) return original.apply(this, args);
    const { emit } = this;
    const isOwn = Object.hasOwn(this, "emit");
    this.emit = (event, ...more) => {
      if (event !== "listening") return emit.call(this, event, ...more);
      process.nextTick(() => emit.call(this, event, ...more));
      return true;
    };
    try {
      return original.apply(this, args);
    } finally {
      if (isOwn) this.emit = emit;
      else delete (this as Partial<DatagramSocket>).emit;
      handleOf(this)?.recvStop();
    }
  };
  return () => {
    prototype.bind = original;
  };
}

/**
 * Binds a socket, and pauses it.
 *
 * @param target What was asked for.
 * @param parts How.
 * @returns The listener.
 * @throws {UpgradeError} `ERR_ADOPT` when it is no `dgram.Socket`, or bound to something else.
 */
export async function nodeDatagram(target: ListenTarget, parts: DatagramParts): Promise<Listener> {
  const { inherited } = target;
  if (inherited === undefined) return paused(await parts.bind(parts.at), target, parts);
  const { fd, bound } = inherited;
  const ipv6 = bound.kind !== "unix" && bound.hostname.includes(":");
  const putBack = holdBind(fd);
  try {
    // A function that leaves `fd` out binds a port that is not ours, and is found out.
    const socket = await parts.bind({ ...datagramAt(ipv6 ? "::1" : "127.0.0.1", 0), fd });
    return paused(socket, target, parts);
  } finally {
    putBack();
  }
}

function paused(socket: unknown, target: ListenTarget, parts: DatagramParts): Listener {
  try {
    return listener(socket, target, parts);
  } catch (error) {
    parts.close(socket);
    throw error;
  }
}

function listener(
  socket: unknown,
  { address, inherited }: ListenTarget,
  parts: DatagramParts,
): Listener {
  if (!isDatagramSocket(socket)) {
    throw refusal(address, "the function returned no socket of node:dgram; return the socket");
  }
  const handle = handleOf(socket);
  if (handle === undefined) throw refusal(address, "this version of Node does not show its handle");
  handle.recvStop();
  const { address: hostname, port } = socket.address();
  const bound: BoundAddress = { kind: "udp", hostname, port };
  if (inherited !== undefined) {
    checkFamily(socket, inherited.bound);
    if (!sameBound(bound, inherited.bound)) {
      throw refusal(inherited.bound, 'it is bound to another address; bind it to all of "at"');
    }
  }
  let state: "paused" | "open" | "closed" = "paused";
  return {
    server: socket,
    fd: handle.fd,
    bound,
    // deno-lint-ignore require-await -- a doubt is to be a rejection
    async open() {
      if (state !== "paused") return;
      if (handle.recvStart() < 0) throw refusal(address, "it cannot receive; was it closed?");
      state = "open";
    },
    pause() {
      if (state === "open") {
        handle.recvStop();
        state = "paused";
      }
      return Promise.resolve();
    },
    close() {
      if (state === "open") handle.recvStop();
      state = "closed";
    },
    finish: () => parts.finish(socket),
  };
}
