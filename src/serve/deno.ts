/**
 * `Deno.serve` with a `fetch` function.
 *
 * @module
 */

import type { Start } from "./server.ts";

/** What is used of the runtime. */
interface DenoGlobal {
  readonly Deno: {
    serve(
      options: object,
      handler: (
        request: Request,
        info: { readonly remoteAddr: { readonly hostname?: string; readonly port?: number } },
      ) => unknown,
    ): unknown;
  };
}

export const start: Start = async (upgrader, plan, answer) => {
  const { Deno } = globalThis as unknown as DenoGlobal;
  return await upgrader.listen(plan.address, (at) => {
    // It would print the placeholder on which a successor's server is started.
    const options = { ...plan.serverOptions, ...plan.tls, ...at, onListen() {} };
    const server: unknown = Deno.serve(
      options,
      (request, { remoteAddr }) =>
        answer(request, server, () => ({ hostname: remoteAddr.hostname, port: remoteAddr.port })),
    );
    return server;
  });
};
