/**
 * A server in one call: `Bun.serve` on Bun, `Deno.serve` on Deno, `node:http` on Node, which is replaced on SIGHUP and
 * stopped on SIGTERM without losing a request.
 *
 * On Node it needs the package `srvx` (`npm install srvx`), which makes a `Request` of what `node:http` receives. Any
 * `Response` will do; its `FastResponse` costs less and has a `Content-Length`.
 *
 * @example
 * ```ts no-eval
 * import { serve } from "@changeover/changeover/serve";
 *
 * await serve({
 *   port: 8080,
 *   pidFile: "/run/app.pid",
 *   fetch: (request, info) => new Response(`hello ${info.remoteAddress}\n`),
 *   onListen: ({ name }) => console.log("listening on", name),
 * });
 * ```
 *
 * @module
 */

import type { Runtime } from "../backend/backend.ts";
import { type Logger, resolveOptions } from "../options.ts";
import { Upgrader } from "../upgrader.ts";
import { guarded, RequestInfo } from "./handler.ts";
import { planOf, upgraderOptions } from "./options.ts";
import type { Start } from "./server.ts";
import type { Served, ServeOptions } from "./types.ts";

export type { Served, ServeEnd, ServeHandler, ServeInfo, ServeOptions, ServeTls } from "./types.ts";

/**
 * Serves, upgrades, stops and drains.
 *
 * In a child of an upgrade it takes over the parent's socket; a child that fails here leaves the parent serving.
 *
 * `fetch` can be called before this returns: what it needs of the result it finds in its second argument. What it throws
 * is answered with status 500. On Node requests are lazy, and the global `Request` is told how to copy them; to send one
 * on, write `fetch(new Request(request))`. On Deno the signal of a request also aborts after its answer, unless Deno was
 * started with `--unstable-no-legacy-abort`.
 *
 * @typeParam S The runtime's own server, for example `Bun.Server`.
 * @param options Where, what, and everything that `Upgrader.create` takes.
 * @returns When this process serves, and its parent, if there is one, has acknowledged.
 * @throws {TypeError} For an option that is unknown, of the wrong type, or not for this runtime.
 * @throws {RangeError} For an option out of its bounds.
 * @throws {UpgradeError} As `Upgrader.create`, `listen` and `ready`; `ERR_UNSUPPORTED` on Node without `srvx`.
 *
 * @example Leaving
 * ```ts no-eval
 * import { serve } from "@changeover/changeover/serve";
 *
 * const { finished } = await serve({ address: ":8080", fetch: () => new Response("hello\n") });
 * const { reason, drain } = await finished;
 * console.log(reason, drain.served); // close databases now
 * ```
 */
export async function serve<S = unknown>(options: ServeOptions<S>): Promise<Served<S>> {
  const upgrading = upgraderOptions(options);
  const upgrader = await Upgrader.create(upgrading);
  const { logger } = resolveOptions(upgrading);
  const finished = upgrader.exit.then(async (reason) => ({
    reason,
    drain: await upgrader.drain(),
  }));
  try {
    const plan = planOf(options, upgrader.runtime);
    const handle = guarded(options, upgrader.runtime, (message) => {
      tell(logger, message);
    });
    const start = await starterOf(upgrader.runtime);
    const server = await start(
      upgrader,
      plan,
      (request, server, peer) => handle(request, new RequestInfo(upgrader, server as S, peer)),
    );
    await upgrader.ready();
    announce(upgrader, options, logger);
    return { upgrader, server: server as S, finished };
  } catch (error) {
    leave(upgrader, error);
    throw error;
  }
}

async function starterOf(runtime: Runtime): Promise<Start> {
  if (runtime === "bun") return (await import("./bun.ts")).start;
  if (runtime === "deno") return (await import("./deno.ts")).start;
  return (await import("./node.ts")).start;
}

function announce<S>(upgrader: Upgrader, { onListen }: ServeOptions<S>, logger: Logger): void {
  const [address] = upgrader.addresses;
  if (address === undefined) return;
  try {
    onListen?.(address);
  } catch (error) {
    tell(logger, `onListen failed: ${error instanceof Error ? error.stack : error}`);
  }
}

/** Nothing of a start that failed stays, so that the process can end; its parent is told why. */
function leave(upgrader: Upgrader, error: unknown): void {
  try {
    upgrader.fail(error instanceof Error ? error.message : String(error));
  } catch {
    // There is no parent to be told, or it knows.
  }
  upgrader.stop();
}

/** A broken logger must not break a server. */
function tell(logger: Logger, message: string): void {
  try {
    logger.error(message);
  } catch {
    // See above.
  }
}
