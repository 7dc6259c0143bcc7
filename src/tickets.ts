/**
 * Keys of TLS session tickets: they travel with the socket, so that sessions resume across an upgrade.
 *
 * A session is resumed when the server has the key that its ticket was made with, and the same session id context
 * (SSL_CTX_set_session_id_context(3)), which Node derives from `process.argv` and which therefore changes with the path
 * of a release. Only Node lets both out (`node:tls`, `node:https`, `node:http2`): elsewhere clients make a full
 * handshake with the successor.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Offers, Receiving } from "./hand_over.ts";

interface TicketServer {
  sessionIdContext: string;
  getTicketKeys(): Buffer;
  setTicketKeys(keys: Buffer): unknown;
  /** Not documented, and the only way that does not load the certificates anew. */
  readonly _sharedCreds?: { readonly context?: { setSessionIdContext?(context: string): void } };
}

function hasTickets(server: unknown): server is TicketServer {
  const { sessionIdContext, getTicketKeys, setTicketKeys } = (server ?? {}) as Partial<
    TicketServer
  >;
  return typeof sessionIdContext === "string" && typeof getTicketKeys === "function" &&
    typeof setTicketKeys === "function";
}

/**
 * Takes the parent's keys for a server, and offers its own to the successor.
 *
 * @param server Any server; those without TLS are left alone.
 * @param identity Of its socket.
 */
export async function shareTicketKeys(
  server: unknown,
  identity: string,
  offers: Offers,
  receiving: Receiving,
): Promise<void> {
  if (!hasTickets(server)) return;
  const name = `tls:${identity}`;
  try {
    const state = await receiving.take(name)?.json() as
      | { readonly keys: string; readonly context: string }
      | undefined;
    if (state !== undefined) {
      server.setTicketKeys(Buffer.from(state.keys, "base64"));
      server._sharedCreds?.context?.setSessionIdContext?.(state.context);
      server.sessionIdContext = state.context;
    }
  } catch {
    // The parent died, or its keys are of another form: its sessions are not resumed, nothing else is lost.
  }
  offers.add(name, () =>
    JSON.stringify({
      keys: server.getTicketKeys().toString("base64"),
      context: server.sessionIdContext,
    }), {});
}
