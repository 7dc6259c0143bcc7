/**
 * UDP where libc can be called (Deno and Bun on Linux): the inherited socket is placed into one that was bound to a
 * placeholder, and reading is paused by its registration.
 *
 * @module
 */

import { type BoundAddress, sameBound } from "../address.ts";
import type { ListenAt, Listener, ListenTarget } from "./backend.ts";
import { datagramAt, type DatagramParts, isDatagramSocket, portOf, refusal } from "./datagram.ts";
import type { Libc } from "./libc/libc.ts";
import { doubt, type Paused, socketInode, unregister } from "./libc/registrations.ts";
import {
  boundAddress,
  findSocket,
  pause,
  placeholder,
  registered,
  registrations,
  resume,
  snapshot,
  transplant,
} from "./transplant.ts";

const EPOLLIN = 0x1;
const EPOLLOUT = 0x4;
const EPOLLET = 0x80000000;

/**
 * Binds a socket, and pauses it.
 *
 * @param libc The C library.
 * @param target What was asked for.
 * @param parts How.
 * @returns The listener.
 * @throws {UpgradeError} `ERR_ADOPT` on any doubt.
 */
export async function libcDatagram(
  libc: Libc,
  target: ListenTarget,
  parts: DatagramParts,
): Promise<Listener> {
  const { inherited } = target;
  const at = inherited === undefined ? parts.at : standIn(libc, inherited);
  const before = snapshot(libc);
  const socket = await parts.bind(at);
  try {
    const found = findSocket(libc, before, { type: "datagram", port: portOf(socket) ?? 0 });
    const { fd } = found;
    if (registrations(libc, fd).length === 0) await registered(libc, fd);
    const finish = () => parts.finish(socket);
    if (inherited === undefined) {
      libc.setCloseOnExec(fd, true);
      return listener(
        libc,
        { socket, paused: pause(libc, fd), finish },
        boundAddress(found.socket),
      );
    }
    const { paused } = transplant(libc, fd, inherited.fd);
    report(socket, inherited.bound);
    return listener(libc, { socket, paused, finish }, inherited.bound);
  } catch (error) {
    parts.close(socket);
    throw error;
  }
}

/** Where to bind a socket that is going to be replaced. */
function standIn(libc: Libc, { fd, bound }: NonNullable<ListenTarget["inherited"]>): ListenAt {
  const socket = libc.socket(fd);
  if (socket?.type !== "datagram" || !sameBound(boundAddress(socket), bound)) {
    throw doubt(`descriptor ${fd} is not the UDP socket that the parent announced`);
  }
  return datagramAt(placeholder(libc, socket).at.hostname, 0);
}

/**
 * Lets a runtime send by a socket that is paused. A loop that waits for edges (Deno) sends nothing before it was told
 * that it can; one that waits for levels (Bun) just sends.
 */
function sendOnly(libc: Libc, { fd, registrations }: Paused): void {
  for (const { epoll, events, data } of registrations) {
    if ((events & EPOLLOUT) === 0 || (events & EPOLLET) === 0) continue;
    libc.epollAdd(epoll, fd, { events: (events & ~EPOLLIN) >>> 0, data });
  }
}

/** Lets a `dgram.Socket` tell its address; what the runtime remembers is the placeholder's. */
function report(socket: unknown, bound: BoundAddress): void {
  if (!isDatagramSocket(socket) || bound.kind === "unix") return;
  const { hostname, port } = bound;
  const family = hostname.includes(":") ? "IPv6" : "IPv4";
  Object.defineProperty(socket, "address", {
    configurable: true,
    writable: true,
    value: () => ({ address: hostname, family, port }),
  });
}

function listener(
  libc: Libc,
  started: { readonly socket: unknown; readonly paused: Paused; readonly finish: () => void },
  bound: BoundAddress,
): Listener {
  const { fd, inode } = started.paused;
  const { socket, finish } = started;
  let { paused } = started;
  let state: "paused" | "open" | "closed" = "paused";
  sendOnly(libc, paused);
  return {
    server: socket,
    fd,
    bound,
    // deno-lint-ignore require-await -- a doubt is to be a rejection
    async open() {
      if (state !== "paused") return;
      if (socketInode(libc, fd) !== inode) throw refusal(bound, "it was closed");
      unregister(libc, fd);
      resume(libc, paused);
      state = "open";
    },
    // deno-lint-ignore require-await -- a doubt is to be a rejection
    async pause() {
      if (state !== "open") return;
      paused = unregister(libc, fd);
      sendOnly(libc, paused);
      state = "paused";
    },
    close() {
      // The application may have closed it, and the number may mean something else by now.
      if (state === "open" && isStill(libc, paused)) sendOnly(libc, unregister(libc, fd));
      state = "closed";
    },
    finish,
  };
}

function isStill(libc: Libc, { fd, inode }: Paused): boolean {
  try {
    return libc.inode(fd) === inode;
  } catch {
    return false;
  }
}
