/**
 * The channel on a `node:net` socket: both ends on Node and Deno, the parent's end on Bun.
 *
 * @module
 */

import type { Socket } from "node:net";
import type { Channel } from "./backend.ts";

/**
 * A channel that owns `socket`.
 *
 * @param socket An open stream socket; it is closed by the channel's `close`, or when the other side ends.
 * @param writeSync Writes to its descriptor before it returns.
 */
export function socketChannel(
  socket: Socket,
  writeSync: (bytes: Uint8Array) => void,
): Channel {
  let receive: ((bytes: Uint8Array) => void) | undefined;
  let ended: (() => void) | undefined;
  let isEnded = false;
  const end = () => {
    if (isEnded) return;
    isEnded = true;
    ended?.();
  };
  // A reset is the same news as an end of file: the other side is gone.
  socket.on("error", end);
  socket.on("end", end);
  socket.on("close", end);
  return {
    write(bytes) {
      if (!socket.destroyed && socket.writable) socket.write(bytes);
    },
    writeSync(bytes) {
      try {
        writeSync(bytes);
      } catch {
        // The process is about to die; the other side will learn that in any case.
      }
    },
    onData(receiver) {
      receive = receiver;
      socket.on("data", (bytes: Uint8Array) => receive?.(bytes));
    },
    onEnd(receiver) {
      ended = receiver;
      // Told in a later tick, as an end that is still to come would be.
      if (isEnded) queueMicrotask(receiver);
    },
    keepAlive(on) {
      if (on) socket.ref();
      else socket.unref();
    },
    close() {
      socket.end();
      socket.destroySoon();
    },
  };
}
