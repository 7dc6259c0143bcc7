/**
 * `node:http` and `node:https` with a `fetch` function, by way of the adapter of srvx.
 *
 * @module
 */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { UpgradeError } from "../errors.ts";
import type { Start } from "./server.ts";

/** What is used of "srvx/node". */
interface Adapter {
  toNodeHandler(
    fetch: (request: NodeRequest) => unknown,
  ): (request: IncomingMessage, response: ServerResponse) => unknown;
  patchGlobalRequest(): unknown;
}

/** A request as the adapter makes it. */
interface NodeRequest extends Request {
  readonly runtime?: { readonly node?: { readonly req: IncomingMessage } };
}

export const start: Start = async (upgrader, plan, answer) => {
  const { toNodeHandler, patchGlobalRequest } = await loadAdapter();
  // Its requests are made lazily, and Node's own constructor would refuse them in `new Request(request)`.
  patchGlobalRequest();
  const listener = toNodeHandler((request) =>
    answer(request, server, () => {
      const socket = request.runtime?.node?.req.socket;
      return { hostname: socket?.remoteAddress, port: socket?.remotePort };
    })
  );
  const server = plan.tls === undefined
    ? createServer(plan.serverOptions, listener)
    : createTlsServer({ ...plan.serverOptions, ...plan.tls }, listener);
  return await upgrader.listen(plan.address, server);
};

async function loadAdapter(): Promise<Adapter> {
  try {
    return await import("srvx/node") as unknown as Adapter;
  } catch (cause) {
    throw new UpgradeError(
      "ERR_UNSUPPORTED",
      'Cannot serve: on Node changeover/serve needs the package "srvx"; run "npm install srvx"',
      { cause },
    );
  }
}
