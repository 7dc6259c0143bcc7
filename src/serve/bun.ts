/**
 * `Bun.serve` with a `fetch` function.
 *
 * @module
 */

import type { Start } from "./server.ts";

/** What is used of a server. */
interface BunServer {
  requestIP(request: Request): { readonly address: string; readonly port: number } | null;
}

/** What is used of the runtime. */
interface BunGlobal {
  readonly Bun: { serve(options: object): BunServer };
}

export const start: Start = async (upgrader, plan, answer) => {
  const { Bun } = globalThis as unknown as BunGlobal;
  const { tls, websocket, serverOptions } = plan;
  return await upgrader.listen(plan.address, (at) =>
    Bun.serve({
      // Its page about errors would tell clients the source.
      development: false,
      ...serverOptions,
      ...at,
      ...(tls === undefined ? {} : { tls }),
      ...(websocket === undefined ? {} : { websocket }),
      fetch: (request: Request, server: BunServer) =>
        answer(request, server, () => {
          const peer = server.requestIP(request);
          return peer === null ? undefined : { hostname: peer.address, port: peer.port };
        }),
    }));
};
