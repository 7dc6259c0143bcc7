/**
 * UDP on every runtime: sockets of `node:dgram`, and how long one stays open.
 *
 * Two processes may read from one UDP socket: each datagram goes to one of them. So the child begins at its `ready()`, the
 * parent stops at commit, and what arrives in between waits in the kernel's queue. The parent's answers still go out by
 * its own descriptor.
 *
 * @module
 */

import { type Address, type BoundAddress, formatAddress } from "../address.ts";
import { UpgradeError } from "../errors.ts";
import type { Clock, ListenAt, ListenTarget } from "./backend.ts";

/** What is used of a `dgram.Socket`. */
export interface DatagramSocket {
  readonly type?: string;
  bind(options: ListenAt, callback?: () => void): unknown;
  address(): { readonly address: string; readonly port: number };
  close(): unknown;
  unref(): unknown;
  emit(event: string, ...args: unknown[]): boolean;
  once(event: string, listener: (...args: never[]) => void): unknown;
  off(event: string, listener: (...args: never[]) => void): unknown;
}

/** How a socket comes and goes. */
export interface DatagramParts {
  /** The user's socket, where it was passed and not a function that starts one. */
  readonly socket: DatagramSocket | undefined;
  /** Where to bind it natively. */
  readonly at: ListenAt;
  /** Starts it. @returns What the user's function returned, bound. */
  bind(at: ListenAt): Promise<unknown>;
  /** Closes it, because something is wrong. */
  close(socket: unknown): void;
  /** Lets go of it, when its time is over. */
  finish(socket: unknown): void;
}

/** How long a socket can still answer once everything else of its process is drained, in milliseconds. */
const ANSWER_GRACE_MS = 5000;

/** Whether a value has the methods of a `dgram.Socket`. */
export function isDatagramSocket(value: unknown): value is DatagramSocket {
  if (typeof value !== "object" || value === null) return false;
  const socket = value as Partial<Record<keyof DatagramSocket, unknown>>;
  return typeof socket.bind === "function" && typeof socket.address === "function" &&
    typeof socket.once === "function";
}

/** Where to bind, in the words of `node:dgram`, `Deno.listenDatagram` and `Bun.udpSocket`. */
export function datagramAt(hostname: string | undefined, port: number): ListenAt {
  // Without a host name a dgram socket binds every address of its type.
  const where = hostname === undefined ? {} : { hostname, host: hostname, address: hostname };
  return { port, ...where, transport: "udp" };
}

/** Checks that what was passed can be the socket for a target. */
export function checkSocket(
  socket: unknown,
  { address, inherited }: ListenTarget,
): DatagramSocket {
  if (!isDatagramSocket(socket)) {
    throw refusal(
      address,
      'it is no socket with bind() and address(), such as dgram.createSocket("udp6") returns',
    );
  }
  if (inherited !== undefined) checkFamily(socket, inherited.bound);
  return socket;
}

/** The runtime does not take the socket. */
export function refusal(address: Address | BoundAddress, why: string): UpgradeError {
  return new UpgradeError(
    "ERR_ADOPT",
    `Cannot use the UDP socket for ${formatAddress(address)}: ${why}`,
  );
}

/** Resolves when a `dgram.Socket` is bound; rejects when it cannot be. Others are bound when they exist. */
export async function bound(socket: unknown): Promise<void> {
  if (!isDatagramSocket(socket) || portOf(socket) !== undefined) return;
  await new Promise<void>((resolve, reject) => {
    const settle = () => {
      socket.off("listening", onListening);
      socket.off("error", onError);
    };
    const onListening = () => {
      settle();
      resolve();
    };
    const onError = (error: Error) => {
      settle();
      reject(error);
    };
    socket.once("listening", onListening);
    socket.once("error", onError);
  });
}

/** The port that a bound socket of any runtime tells. */
export function portOf(socket: unknown): number | undefined {
  let told: { readonly port?: unknown } | undefined;
  try {
    told = isDatagramSocket(socket)
      ? socket.address()
      : (socket as { addr?: object }).addr ?? (socket as object);
  } catch {
    // Not bound yet.
  }
  return typeof told?.port === "number" && told.port > 0 ? told.port : undefined;
}

/** Refuses a `dgram.Socket` of the other family: it would misread the addresses of its peers. */
export function checkFamily(socket: unknown, bound: BoundAddress): void {
  const type = isDatagramSocket(socket) ? socket.type : undefined;
  const wanted = bound.kind !== "unix" && bound.hostname.includes(":") ? "udp6" : "udp4";
  if (type === undefined || type === wanted) return;
  throw refusal(bound, `its type is "${type}", and the inherited one is "${wanted}"`);
}

/**
 * Lets go of a socket that receives nothing any more.
 *
 * A UDP server cannot be asked whether it still owes an answer. So the socket no longer keeps the process alive and is
 * closed after a grace: whatever else does keep the process alive, such as a query to a database, can still answer.
 *
 * @param socket Of any runtime.
 * @param close Closes it.
 * @param clock Time.
 */
export function letGo(socket: unknown, close: (socket: unknown) => void, clock: Clock): void {
  try {
    (socket as { unref?: () => void }).unref?.();
  } catch {
    // Closed by the application.
  }
  clock.after(ANSWER_GRACE_MS, () => close(socket));
}
