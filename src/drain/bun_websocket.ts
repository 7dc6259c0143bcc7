/**
 * Bun's own implementation of "ws", which it also gives to who imports the package: it writes past `socket.write`, so it is
 * asked itself.
 *
 * @module
 */

import process from "node:process";
import type { Connection } from "./net.ts";
import type { Conversation } from "./websocket.ts";

/** What is used of a `WebSocket` of "ws". */
interface Library {
  readonly readyState: number;
  send(data: unknown, options?: unknown, done?: unknown): void;
  close(code: number): void;
  on(event: "message", listener: () => void): unknown;
}

/** The runtime's own socket below it. */
interface Native {
  cork(write: () => void): void;
}

/** Close code "service restart" (IANA's WebSocket close code registry). */
const SERVICE_RESTART = 1012;

/** What an object has under symbols. */
function hidden(object: object, is: (value: Record<string, unknown>) => boolean): unknown {
  return Object.getOwnPropertySymbols(object)
    .map((symbol) => (object as Record<symbol, unknown>)[symbol])
    .find((value) => typeof value === "object" && value !== null && is(value as never));
}

/** The WebSocket that Bun has put on a connection; `undefined` elsewhere, and before the handshake is answered. */
export function bunConversation(connection: Connection): Conversation | undefined {
  if (process.versions["bun"] === undefined) return undefined;
  const socket = hidden(connection, ({ send, ping }) => Boolean(send && ping)) as Library;
  if (socket === undefined) return undefined;
  const native = hidden(socket, ({ cork }) => typeof cork === "function") as Native | undefined;
  let heard = 0;
  socket.on("message", () => heard += 1);
  return {
    get isOpen() {
      return socket.readyState === 1;
    },
    get heard() {
      return heard;
    },
    onNextMessage(then) {
      const { send } = socket;
      socket.send = (...args) => {
        const [, options] = args as [unknown, { readonly fin?: boolean } | undefined];
        if (options?.fin === false) return send.apply(socket, args);
        socket.send = send;
        const both = () => {
          send.apply(socket, args);
          then();
        };
        // With one system call.
        if (native === undefined) both();
        else native.cork(both);
      };
    },
    close(sent) {
      socket.close(SERVICE_RESTART);
      sent();
    },
  };
}
